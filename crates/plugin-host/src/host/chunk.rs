//! Chunkers: divide a document into the pieces that are embedded, found and quoted.

use super::bindings::chunker::SemanticChunkerPlugin;
use super::bindings::import::types;
use super::bulk::{List, RawPiece};
use super::call::{Runner, check_config};
use super::imports::{Doc, Provided, View};
use super::plugin::Pre;
use super::state::{Offered, State};
use super::{Budget, Host, Plugin, check};
use crate::inspect::offered;
use crate::{Kind, PluginError, Reason};
use ibid_types::document::{Attrs, Document, Span};
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{Instance, Resource, ResourceAny, TypedFunc};

/// One chunk of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The span of its text; not empty.
    pub at: Span,
    /// Spans of other text that helps to understand it (headings above it, a table's header), for the embedder only; never quoted.
    pub context: Vec<Span>,
    /// Attributes that are stored with the chunk.
    pub attrs: Attrs,
}

impl Host {
    /// Divides the part of a document within `within` into chunks, in the order of their start. `config` is a JSON object that matches the
    /// plugin's schema.
    ///
    /// # Errors
    /// Among others `Reason::InvalidResult` where a span is outside `within` or cuts a character.
    pub async fn chunk(
        &self,
        plugin: &Plugin,
        config: &str,
        document: &Arc<Document>,
        within: Span,
        provided: Provided,
        budget: &Budget,
    ) -> Result<Vec<Piece>, PluginError> {
        check_config(config).map_err(|reason| plugin.error(reason))?;
        if let Some(grant) = plugin.contract().wanted_grants().next().filter(|_| provided.embedder.is_none()) {
            return Err(plugin.error(Reason::Refused(format!("it needs `{grant}`, which this pipeline does not grant"))));
        }
        check::span(within, &document.text).map_err(|why| plugin.error(Reason::Host(format!("the part to be cut is not valid: {why}"))))?;
        let runner = Arc::new(Runner::admit(self, plugin, budget).await?);
        let (worker, config, document) = (runner.clone(), config.to_owned(), document.clone());
        let work = move |cancelled| {
            let Pre::Chunker(pre) = worker.pre() else {
                return Err(worker.is_not(Kind::Chunker));
            };
            let view = View::new(document.clone(), provided);
            let mut store = worker.store(Offered::Document(view), cancelled);
            worker.guest(&mut store, |store| {
                let instance = pre.instance_pre().instantiate(&mut *store)?;
                let guest = SemanticChunkerPlugin::new(&mut *store, &instance)?;
                let chunker = guest.ibid_plugin_chunking().chunker().call_open(&mut *store, &config)??;
                let chunk = chunk_function(&instance, &mut *store)?;
                let (pieces,) = chunk.call(&mut *store, (chunker, Resource::new_borrow(0), within.into()))?;
                Ok(checked(pieces?, &document, within, worker.budget())?)
            })
        };
        runner.run(work).await
    }
}

/// The type of a chunker's function `chunk`.
type Chunk = TypedFunc<(ResourceAny, Resource<Doc>, types::Span), (Result<List<Vec<RawPiece>>, types::Failure>,)>;

/// Returns the function `chunk`. The generated bindings would lift each piece field by field.
fn chunk_function(instance: &Instance, store: &mut Store<State>) -> wasmtime::Result<Chunk> {
    let interface = instance.get_export_index(&mut *store, None, &offered("chunking"));
    let function = interface.and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), "[method]chunker.chunk"));
    let function = function.ok_or_else(|| wasmtime::format_err!("no function `chunk` is exported"))?;
    instance.get_typed_func(store, function)
}

fn checked(List(given): List<Vec<RawPiece>>, document: &Document, within: Span, budget: &Budget) -> Result<Vec<Piece>, Reason> {
    if given.len() > budget.output_items {
        return Err(Reason::Limit(format!(
            "{} pieces, with a limit of {}",
            given.len(),
            budget.output_items
        )));
    }
    let mut last = 0;
    let mut bytes = 0_usize;
    let mut pieces = Vec::with_capacity(given.len());
    for (number, piece) in given.into_iter().enumerate() {
        let invalid = |why: String| Reason::InvalidResult(format!("piece {number} {why}"));
        let RawPiece { at, context, attrs } = piece;
        check::span(at, &document.text).map_err(|why| invalid(format!("is not in the text: {why}")))?;
        if at.is_empty() {
            return Err(invalid(format!("is empty ({}..{})", at.start, at.end)));
        }
        if at.start < within.start || at.end > within.end {
            let (start, end) = (within.start, within.end);
            return Err(invalid(format!(
                "({}..{}) is not in {start}..{end}, which was to be cut",
                at.start, at.end
            )));
        }
        if at.start < last {
            return Err(invalid(format!("starts at {}, before the one ahead of it at {last}", at.start)));
        }
        last = at.start;
        for span in &context {
            check::span(*span, &document.text).map_err(|why| invalid(format!("has context that is not in the text: {why}")))?;
        }
        let attrs = check::attrs(attrs).map_err(|why| invalid(format!("has attributes of which {why}")))?;
        bytes = bytes
            .saturating_add(check::size(&attrs))
            .saturating_add(context.len() * size_of::<Span>());
        if bytes > budget.output_bytes {
            return Err(Reason::Limit(format!(
                "the pieces' context and attributes may have {} bytes",
                budget.output_bytes
            )));
        }
        pieces.push(Piece { at, context, attrs });
    }
    Ok(pieces)
}
