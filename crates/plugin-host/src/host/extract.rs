//! Extractors: turn an upload into a document.

use super::call::{Runner, check_config};
use super::intake::Intake;
use super::plugin::Pre;
use super::state::Offered;
use super::{Blob, Budget, Host, Plugin};
use crate::{Kind, PluginError};
use ibid_types::document::Document;
use std::sync::Arc;
use wasmtime::component::Resource;

impl Host {
    /// Extracts a document. `config` is a JSON object that matches the plugin's schema. `progress` is called on a blocking thread with the
    /// progress, rising from 0 to 1.
    ///
    /// # Errors
    /// Among others `Reason::Failure` where the upload is at fault (`ENCRYPTED`, `MALFORMED`, ...).
    pub async fn extract(
        &self,
        plugin: &Plugin,
        config: &str,
        source: Arc<dyn Blob>,
        budget: &Budget,
        progress: impl Fn(f32) + Send + Sync + 'static,
    ) -> Result<Document, PluginError> {
        check_config(config).map_err(|reason| plugin.error(reason))?;
        let runner = Arc::new(Runner::admit(self, plugin, budget).await?);
        let (worker, config) = (runner.clone(), config.to_owned());
        let work = move |cancelled| {
            let Pre::Extractor(pre) = worker.pre() else {
                return Err(worker.is_not(Kind::Extractor));
            };
            let intake = Intake::new(source, worker.budget(), progress);
            let mut store = worker.store(Offered::Intake(Box::new(intake)), cancelled);
            worker.guest(&mut store, |store| {
                let instance = pre.instantiate(&mut *store)?;
                let guest = instance.ibid_plugin_extraction().extractor();
                let extractor = guest.call_open(&mut *store, &config)??;
                let (blob, draft) = (Resource::new_borrow(0), Resource::new_borrow(0));
                guest.call_extract(&mut *store, extractor, blob, draft)??;
                let intake = store.data_mut().intake().map_err(wasmtime::Error::from)?;
                Ok(intake.finish())
            })
        };
        runner.run(work).await
    }
}
