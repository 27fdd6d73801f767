//! A collection's pipeline: shown, and changed where nothing that was made of its documents has to be made again.
//!
//! May depend on `catalog` and `protocol`.

use super::engine::Engine;
use super::error::PipelineError;
use super::spec::{Lock, Pipeline, shown_to};
use super::timestamp;
use crate::auth::Subject;
use crate::catalog::NewEvent;
use crate::protocol::{ApiError, CollectionPipeline, ErrorCode, PipelineChanged, PipelineValid};
use serde_json::{Value, json};
use std::sync::PoisonError;

/// What a change of a pipeline makes necessary for the documents that are there, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Redo {
    Nothing,
    Embed,
    Chunk,
    Extract,
}

impl Redo {
    /// What it takes to get from one pipeline to another.
    fn between(old: &Pipeline, new: &Pipeline) -> Self {
        if old.extractors != new.extractors {
            Self::Extract
        } else if old.chunker != new.chunker {
            Self::Chunk
        } else if old.embedder.model != new.embedder.model || old.retrieval.language != new.retrieval.language {
            Self::Embed
        } else {
            Self::Nothing
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Embed => "re-embed",
            Self::Chunk => "re-chunk",
            Self::Extract => "re-extract",
        }
    }
}

impl Engine {
    /// The pipeline of a collection, and what it resolves to, as far as the subject may know it.
    pub async fn collection_pipeline(&self, name: &str, subject: &Subject) -> Result<CollectionPipeline, ApiError> {
        let collection = self
            .catalog
            .collection(name)
            .await
            .map_err(|error| PipelineError::from(error).told(""))?;
        Ok(CollectionPipeline {
            collection: collection.name,
            pipeline: shown_to(subject, collection.pipeline),
            lock: shown_to(subject, collection.lock),
        })
    }

    /// Checks a pipeline against what is installed, as a collection that is made with it would.
    ///
    /// # Errors
    /// A value that is wrong, by its key.
    pub fn validate_pipeline(&self, pipeline: Value) -> Result<PipelineValid, ApiError> {
        let resolved =
            Pipeline::parse(pipeline).and_then(|pipeline| self.resolve("unnamed", "unnamed", pipeline).map_err(|error| error.told("")))?;
        Ok(PipelineValid {
            valid: true,
            pipeline: serde_json::to_value(&resolved.pipeline).unwrap_or_default(),
            lock: serde_json::to_value(&resolved.lock).unwrap_or_default(),
        })
    }

    /// Puts another pipeline in place, all of it checked before. With `dry_run` it only tells what it would do.
    ///
    /// # Errors
    /// A value that is wrong, by its key; `CONFLICT` where documents that are there would have to be made again, which
    /// `details.redo` names: then nothing has changed.
    pub async fn set_pipeline(&self, name: &str, pipeline: Value, dry_run: bool) -> Result<PipelineChanged, ApiError> {
        let pipeline = Pipeline::parse(pipeline)?;
        self.exchange_pipeline(name, pipeline, dry_run)
            .await
            .map_err(|error| error.told(""))
    }

    async fn exchange_pipeline(&self, name: &str, pipeline: Pipeline, dry_run: bool) -> Result<PipelineChanged, PipelineError> {
        // What is installed must stay as it is between check and change.
        let _right = self.plugin_changes.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        let collection = self.catalog.collection(name).await?;
        let resolved = self.resolve(&collection.id, name, pipeline)?;
        let old = Pipeline::parse(collection.pipeline.clone())?;
        let mut redo = Redo::between(&old, &resolved.pipeline);
        let locked = serde_json::from_value::<Lock>(collection.lock.clone()).ok().map(|lock| lock.model);
        let same_model = locked.is_none_or(|model| model == resolved.lock.model);
        // Another model may go by the old one's name.
        if !same_model {
            redo = redo.max(Redo::Embed);
        }
        let stats = self.catalog.stats(&collection.id).await?;
        let documents = stats.documents + stats.processing;
        let mut answer = PipelineChanged {
            collection: name.to_owned(),
            changed: false,
            redo: redo.name().to_owned(),
            documents_affected: if redo == Redo::Nothing { 0 } else { documents },
            chunks_affected: if redo == Redo::Nothing { 0 } else { stats.chunks },
            pipeline: serde_json::to_value(&resolved.pipeline).unwrap_or_default(),
            lock: serde_json::to_value(&resolved.lock).unwrap_or_default(),
        };
        if dry_run {
            return Ok(answer);
        }
        if redo != Redo::Nothing && documents > 0 {
            let message = format!(
                "This pipeline differs in what its {documents} documents were made with (it would take to {} them), and \
                 documents are not made again yet. Make a collection with it, and upload them there.",
                redo.name()
            );
            let error = ApiError::new(ErrorCode::Conflict, message).with("redo", redo.name());
            return Err(error.with("documents_affected", documents).into());
        }
        if old == resolved.pipeline && collection.lock == answer.lock {
            return Ok(answer);
        }
        let plugins = &resolved.lock.plugins;
        let event = json!({ "timestamp": timestamp::now(), "plugins": plugins, "pipeline": answer.pipeline });
        let event = NewEvent::new("pipeline_changed", event);
        // Nothing is in the index, which may have to be of another dimension. A start makes it where it is missing.
        if !same_model {
            let place = self.index.place(&resolved.key);
            self.index.at(place)?.drop_collection(&resolved.key).await?;
        }
        let event = self
            .catalog
            .set_pipeline(&collection.id, &answer.pipeline, &answer.lock, event)
            .await?;
        {
            let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
            // Who has read the old one and not yet resolved it must not keep it.
            pipelines.installed += 1;
            pipelines.resolved.remove(&collection.id);
        }
        if !same_model {
            self.make_index(&collection.id, &answer.lock).await?;
        }
        let Some(event) = event else {
            return Err(ApiError::collection_not_found(name).into());
        };
        self.tell(event);
        answer.changed = true;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: Value) -> Pipeline {
        Pipeline::parse(change).expect("a pipeline")
    }

    #[test]
    fn a_change_costs_what_the_first_stage_that_differs_costs() {
        let old = Pipeline::default();
        for (change, redo) in [
            (json!({}), Redo::Nothing),
            (
                json!({ "analyzer": { "plugin": "passthrough" }, "citations": { "plugin": "footnotes" } }),
                Redo::Nothing,
            ),
            (json!({ "retrieval": { "mode": "speed", "limit": 3 } }), Redo::Nothing),
            (json!({ "embedder": { "precision": "int8" } }), Redo::Nothing),
            (json!({ "embedder": { "model": "another" } }), Redo::Embed),
            (json!({ "retrieval": { "language": "german" } }), Redo::Embed),
            (json!({ "chunker": { "plugin": "sentences" } }), Redo::Chunk),
            (
                json!({ "chunker": { "plugin": "sentences" }, "extractors": { "text/html": "text" } }),
                Redo::Extract,
            ),
        ] {
            assert_eq!(Redo::between(&old, &with(change.clone())), redo, "{change}");
        }
    }
}
