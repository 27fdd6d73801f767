//! An allocator for plugins that allocate many small blocks. An instance lives for one call, so freed blocks are kept for the next block of
//! their size. Small blocks come from a list for their size, or from the end of a chunk; all others, and the chunks, come from the standard
//! allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// The sizes of blocks are multiples of this, and so are their addresses.
const GRAIN: usize = 16;

/// The largest block that has a list.
const LARGEST: usize = 1_024;

/// The size of a chunk for small blocks: a page of WebAssembly.
const CHUNK: usize = 64 << 10;

/// A free block: it points to the next one.
struct Free(*mut Free);

/// The allocator for a plugin that allocates many small blocks. It may be a static only where there are no threads: see
/// [`heap!`](crate::heap).
pub struct Heap {
    /// The freed blocks of each size.
    free: UnsafeCell<[*mut Free; LARGEST / GRAIN]>,
    /// The rest of the newest chunk.
    next: Cell<*mut u8>,
    left: Cell<usize>,
}

// SAFETY: without atomics a module has one thread.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
unsafe impl Sync for Heap {}

impl Heap {
    /// Creates an empty heap.
    #[expect(clippy::new_without_default, reason = "a static is made by a constant function")]
    pub const fn new() -> Self {
        Self {
            free: UnsafeCell::new([ptr::null_mut(); LARGEST / GRAIN]),
            next: Cell::new(ptr::null_mut()),
            left: Cell::new(0),
        }
    }

    /// Returns the index of the list for a layout; `None` for large blocks, or those with a larger alignment.
    #[inline]
    fn class(layout: Layout) -> Option<usize> {
        (layout.size() <= LARGEST && layout.align() <= GRAIN).then(|| layout.size().saturating_sub(1) / GRAIN)
    }

    /// Takes a block from the end of the chunk, or of a new one.
    #[cold]
    fn carve(&self, class: usize) -> *mut u8 {
        let size = (class + 1) * GRAIN;
        if self.left.get() < size {
            let Ok(layout) = Layout::from_size_align(CHUNK, GRAIN) else {
                return ptr::null_mut();
            };
            // SAFETY: the size is not 0.
            let chunk = unsafe { System.alloc(layout) };
            if chunk.is_null() {
                return chunk;
            }
            // The rest of the previous chunk is lost: less than one block in 64.
            self.next.set(chunk);
            self.left.set(CHUNK);
        }
        let block = self.next.get();
        self.left.set(self.left.get() - size);
        // SAFETY: `left` bytes follow it, of which `size` are taken.
        self.next.set(unsafe { block.add(size) });
        block
    }
}

// SAFETY: a block comes from one list or from the chunk's end, has at least the size and alignment of its class, and is reused only after
// it was freed. Both sides distinguish small from large by the layout alone, which the caller passes alike to both.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Self::class(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: one thread, and nobody holds a reference into the lists.
        match unsafe { (*self.free.get()).get_mut(class) } {
            Some(first) if !first.is_null() => {
                let block = *first;
                // SAFETY: a list holds free blocks, whose first bytes are `Free`.
                *first = unsafe { (*block).0 };
                block.cast()
            }
            _ => self.carve(class),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`; a block has room for a `Free` and is aligned for it.
        unsafe {
            match Self::class(layout).and_then(|class| (*self.free.get()).get_mut(class)) {
                Some(first) => {
                    let block = block.cast::<Free>();
                    block.write(Free(*first));
                    *first = block;
                }
                None => System.dealloc(block, layout),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size makes a layout.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (Self::class(layout), Self::class(new)) {
            // SAFETY: as the caller promises.
            (None, None) => unsafe { System.realloc(block, layout, new_size) },
            (old_class, new_class) if old_class == new_class => block,
            _ => {
                // SAFETY: both blocks are at least as long as what is copied, and the caller uses the old one no more.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block in use, and the byte that fills it.
    struct Held {
        block: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Held {
        fn fill(&mut self, mark: u8) {
            self.mark = mark;
            // SAFETY: the block is as long as its layout says.
            unsafe { self.block.write_bytes(mark, self.layout.size()) };
        }

        fn check(&self, len: usize) {
            // SAFETY: the block is at least so long and was written.
            let bytes = unsafe { std::slice::from_raw_parts(self.block, len) };
            assert!(bytes.iter().all(|byte| *byte == self.mark), "another block was written over it");
            assert_eq!(self.block as usize % self.layout.align(), 0);
        }
    }

    proptest! {
        /// Blocks are aligned, do not overlap, and keep their content when they grow and shrink.
        #[test]
        fn blocks_are_their_holders_alone(
            steps in prop::collection::vec((0_u8..4, 1_usize..5_000, 0_u32..7, any::<prop::sample::Index>()), 1..400)
        ) {
            let heap = Heap::new();
            let mut held: Vec<Held> = Vec::new();
            for (number, (step, size, align, index)) in steps.into_iter().enumerate() {
                let mark = number as u8;
                let size = if step % 2 == 0 { size % 200 + 1 } else { size };
                if held.is_empty() || step < 2 {
                    let layout = Layout::from_size_align(size, 1 << align).unwrap();
                    // SAFETY: the size is not 0.
                    let block = unsafe { heap.alloc(layout) };
                    prop_assert!(!block.is_null());
                    let mut new = Held { block, layout, mark };
                    new.fill(mark);
                    held.push(new);
                } else if step == 2 {
                    let one = held.swap_remove(index.index(held.len()));
                    one.check(one.layout.size());
                    // SAFETY: it came from `alloc` or `realloc` with this layout.
                    unsafe { heap.dealloc(one.block, one.layout) };
                } else {
                    let at = index.index(held.len());
                    let one = &mut held[at];
                    let kept = one.layout.size().min(size);
                    // SAFETY: as above; the size is not 0.
                    one.block = unsafe { heap.realloc(one.block, one.layout, size) };
                    one.layout = Layout::from_size_align(size, one.layout.align()).unwrap();
                    one.check(kept);
                    one.fill(mark);
                }
            }
            for one in held {
                one.check(one.layout.size());
                // SAFETY: as above.
                unsafe { heap.dealloc(one.block, one.layout) };
            }
        }
    }

    #[test]
    fn freed_blocks_are_used_again() {
        let heap = Heap::new();
        let layout = Layout::from_size_align(40, 8).unwrap();
        // SAFETY: blocks are freed with the layouts that they were asked for with.
        unsafe {
            let first = heap.alloc(layout);
            heap.dealloc(first, layout);
            let larger = Layout::from_size_align(48, 16).unwrap();
            assert_eq!(heap.alloc(larger), first);
            assert_eq!(heap.realloc(first, larger, 33), first);
        }
    }
}
