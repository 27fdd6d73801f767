//! Formatters: write the citations of one answer while it streams.

use super::bindings::formatter::{CitationPlugin, exports::ibid::plugin::citing};
use super::bindings::import::types::Failure;
use super::bindings::to_guest;
use super::call::{CallError, Runner, check_config};
use super::plugin::Pre;
use super::state::{Clock, Offered, State};
use super::{Budget, Host, Plugin};
use crate::{Kind, PluginError, Reason};
use ibid_types::document::{Attrs, Span};
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

/// The longest marker, in bytes. It is in the middle of a sentence.
const MAX_MARK_BYTES: usize = 1_024;

/// A cited passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The number of the citation in this answer, from 1, in the order of first mention.
    pub citation_id: u32,
    /// The document's identifier.
    pub document_id: String,
    /// The file name.
    pub name: String,
    /// The span of the passage.
    pub at: Span,
    /// The page that contains its start, from 1; absent where the format has no pages.
    pub page: Option<u32>,
    /// The headings above it, outermost first.
    pub section: Vec<String>,
    /// The document's metadata.
    pub attrs: Attrs,
}

impl From<&Source> for citing::Source {
    fn from(source: &Source) -> Self {
        Self {
            citation_id: source.citation_id,
            document_id: source.document_id.clone(),
            name: source.name.clone(),
            at: source.at.into(),
            page: source.page,
            section: source.section.clone(),
            attrs: to_guest(&source.attrs),
        }
    }
}

/// A formatter plugin that works on one answer. It remembers what it has cited, so its calls must be in the order of the answer. After a
/// crash or an exceeded limit, every further call fails with `Reason::Ended`; after a failure that the plugin reports, it goes on.
pub struct Formatter {
    runner: Arc<Runner>,
    live: Option<Live>,
}

struct Live {
    store: Store<State>,
    instance: CitationPlugin,
    formatter: ResourceAny,
}

impl Host {
    /// Starts a formatter for one answer. `config` is a JSON object that matches the plugin's schema. The formatter holds its permit for
    /// the pool until it is dropped.
    ///
    /// # Errors
    /// Among others `Reason::Busy` if too many answers are being written.
    pub async fn formatter(&self, plugin: &Plugin, config: &str, budget: &Budget) -> Result<Formatter, PluginError> {
        check_config(config).map_err(|reason| plugin.error(reason))?;
        let runner = Arc::new(Runner::admit(self, plugin, budget).await?);
        let (worker, config) = (runner.clone(), config.to_owned());
        let work = move |cancelled| {
            let Pre::Formatter(pre) = worker.pre() else {
                return Err(worker.is_not(Kind::Formatter));
            };
            let mut store = worker.store(Offered::Nothing, cancelled);
            let (instance, formatter) = worker.guest(&mut store, |store| {
                let instance = pre.instantiate(&mut *store)?;
                let formatter = instance.ibid_plugin_citing().formatter().call_open(&mut *store, &config)??;
                Ok((instance, formatter))
            })?;
            Ok(Live {
                store,
                instance,
                formatter,
            })
        };
        let live = Some(runner.run(work).await?);
        Ok(Formatter { runner, live })
    }
}

impl Formatter {
    /// Returns the marker that follows a statement, including white space before it, for the passages that support the statement. May be
    /// empty.
    ///
    /// # Errors
    /// As any call.
    pub async fn mark(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        let cited = to_guests(cited);
        let call = move |instance: &CitationPlugin, formatter: ResourceAny, store: &mut Store<State>| {
            instance.ibid_plugin_citing().formatter().call_mark(store, formatter, &cited)
        };
        self.call(call, MAX_MARK_BYTES, "a marker").await
    }

    /// Returns the full reference of one passage, for a list of sources.
    ///
    /// # Errors
    /// As any call.
    pub async fn entry(&mut self, cited: &Source) -> Result<String, PluginError> {
        let cited = citing::Source::from(cited);
        let call = move |instance: &CitationPlugin, formatter: ResourceAny, store: &mut Store<State>| {
            instance.ibid_plugin_citing().formatter().call_entry(store, formatter, &cited)
        };
        let allowed = self.runner.budget().output_bytes;
        self.call(call, allowed, "a reference").await
    }

    /// Returns the text to end the answer with, for all passages in the order of their numbers. May be empty.
    ///
    /// # Errors
    /// As any call.
    pub async fn finish(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        let cited = to_guests(cited);
        let call = move |instance: &CitationPlugin, formatter: ResourceAny, store: &mut Store<State>| {
            instance.ibid_plugin_citing().formatter().call_finish(store, formatter, &cited)
        };
        let allowed = self.runner.budget().output_bytes;
        self.call(call, allowed, "the end of an answer").await
    }

    /// Moves the instance to a blocking thread for one call. If the call's future is dropped, so is the instance.
    async fn call(
        &mut self,
        call: impl FnOnce(&CitationPlugin, ResourceAny, &mut Store<State>) -> wasmtime::Result<Result<String, Failure>> + Send + 'static,
        allowed: usize,
        what: &'static str,
    ) -> Result<String, PluginError> {
        let Some(live) = self.live.take() else {
            return Err(self.runner.error(Reason::Ended));
        };
        let worker = self.runner.clone();
        let work = move |cancelled| {
            let Live {
                mut store,
                instance,
                formatter,
            } = live;
            store.data_mut().clock = Clock::start(worker.budget().deadline, cancelled);
            store.set_epoch_deadline(1);
            let text = worker.guest(&mut store, |store| {
                let text = call(&instance, formatter, store)??;
                if text.len() > allowed {
                    let limit = format!("{what} of {} bytes, with a limit of {allowed}", text.len());
                    return Err(CallError::Reason(Reason::Limit(limit)));
                }
                Ok(text)
            });
            // An instance that has trapped cannot be entered again; one that has reported a failure can.
            let survives = match &text {
                Ok(_) => true,
                Err(error) => error.failure_code().is_some(),
            };
            Ok((
                survives.then_some(Live {
                    store,
                    instance,
                    formatter,
                }),
                text,
            ))
        };
        let (live, text) = self.runner.run(work).await?;
        self.live = live;
        text
    }
}

fn to_guests(cited: &[Source]) -> Vec<citing::Source> {
    cited.iter().map(citing::Source::from).collect()
}
