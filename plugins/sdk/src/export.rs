//! The macros that turn a crate into a plugin's component.

/// Makes this crate an extractor: exports a type that implements [`Extractor`](crate::Extractor).
///
/// Written once, beside the implementation. Compiled for anything but WebAssembly, as for the plugin's own tests, the macro only checks
/// that the trait is implemented.
#[macro_export]
macro_rules! extractor {
    ($plugin:ty) => {
        $crate::__export!(Extractor, $plugin, Component, extractor);
    };
}

/// Makes this crate a chunker: exports a type that implements [`Chunker`](crate::Chunker). See [`extractor!`](crate::extractor).
#[macro_export]
macro_rules! chunker {
    ($plugin:ty) => {
        $crate::__export!(Chunker, $plugin, Component, chunker);
    };
}

/// Makes this crate a chunker that uses the embedder: exports a type that implements [`SemanticChunker`](crate::SemanticChunker). See
/// [`extractor!`](crate::extractor).
#[macro_export]
macro_rules! semantic_chunker {
    ($plugin:ty) => {
        $crate::__export!(SemanticChunker, $plugin, SemanticComponent, chunker);
    };
}

/// Makes this crate an analyzer: exports a type that implements [`Analyzer`](crate::Analyzer). See [`extractor!`](crate::extractor).
#[macro_export]
macro_rules! analyzer {
    ($plugin:ty) => {
        $crate::__export!(Analyzer, $plugin, Component, analyzer);
    };
}

/// Makes this crate a citation formatter: exports a type that implements [`Formatter`](crate::Formatter). See
/// [`extractor!`](crate::extractor).
#[macro_export]
macro_rules! formatter {
    ($plugin:ty) => {
        $crate::__export!(Formatter, $plugin, Component, formatter);
    };
}

/// Gives this crate the SDK's allocator, [`Heap`](crate::Heap), which is faster for plugins that make many small things. Has no effect
/// but in WebAssembly.
#[macro_export]
macro_rules! heap {
    () => {
        #[cfg(target_arch = "wasm32")]
        #[global_allocator]
        static HEAP: $crate::Heap = $crate::Heap::new();
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($kind:ident, $plugin:ty, $component:ident, $world:ident) => {
        const _: () = {
            const fn is_implemented<P: $crate::$kind>() {}
            is_implemented::<$plugin>();

            // Unlike a variable's, a type's name may collide with one of the caller's.
            #[cfg(target_arch = "wasm32")]
            type __IbidPlugin = $crate::bindings::$component<$plugin>;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::$world::export!(__IbidPlugin with_types_in $crate::bindings::$world);
        };
    };
}
