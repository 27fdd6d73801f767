//! A collection's pipeline: shown, checked and changed; and documents made again where a change asks for it.

use crate::error::PipelineError;
use crate::ingest::reindex;
use crate::ingest::reindex::Reindexer;
use crate::peers::{Peers, Stop};
use crate::spec::pipelines::Pipelines;
use crate::spec::pipelines::Resolved;
use crate::spec::reindex_scope::ReindexScope;
use crate::spec::{Lock, Pipeline, shown_to};
use crate::store::Store;
use crate::store::jobs::Jobs;
use crate::timestamp;
use ibid_auth::Subject;
use ibid_catalog::{Collection, DocumentQuery, DocumentState, NewEvent, NewReindex, Reindex, ReindexStatus};
use ibid_protocol::{ApiError, CollectionPipeline, ErrorCode, PipelineChanged, PipelineValid, ReindexInfo, ReindexPlan};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Documents that are looked at in one call of the catalog: its limit.
const PAGE: u32 = 1_000;
/// How long a change of a collection without documents is waited for: it has only to make an index.
const EMPTY: Duration = Duration::from_secs(10);

/// What documents need, to be as another pipeline makes them.
#[derive(Default)]
struct Plan {
    /// The most that any document needs.
    most: ReindexScope,
    /// Documents, of which some need nothing.
    documents: u64,
    /// Those that need something.
    affected: u64,
    /// Their chunks.
    chunks: u64,
    /// Documents by what they need.
    by_scope: BTreeMap<String, u64>,
}

/// Shows, checks and changes the pipelines of collections.
pub(crate) struct PipelineUpdates {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
    pub jobs: Arc<Jobs>,
    pub reindexer: Arc<Reindexer>,
}

impl PipelineUpdates {
    /// The pipeline of a collection, and what it resolves to, as far as the subject may know it.
    pub async fn collection_pipeline(&self, name: &str, subject: &Subject) -> Result<CollectionPipeline, ApiError> {
        let collection = self
            .store
            .catalog
            .collection(name)
            .await
            .map_err(|error| PipelineError::from(error).to_api_error(""))?;
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
        let resolved = Pipeline::parse(pipeline).and_then(|pipeline| {
            self.pipelines
                .resolve("unnamed", "unnamed", pipeline)
                .map_err(|error| error.to_api_error(""))
        })?;
        Ok(PipelineValid {
            valid: true,
            pipeline: serde_json::to_value(&resolved.pipeline).unwrap_or_default(),
            lock: serde_json::to_value(&resolved.lock).unwrap_or_default(),
        })
    }

    /// Puts another pipeline in place, all of it checked before: at once where no document has to be made again, else by a re-index
    /// in the background. With `dry_run` it only tells what it would do.
    ///
    /// # Errors
    /// A value that is wrong, by its key; `CONFLICT` while the collection is re-indexed: then nothing has changed.
    pub async fn set_pipeline(self: &Arc<Self>, name: &str, pipeline: Value, dry_run: bool) -> Result<PipelineChanged, ApiError> {
        let pipeline = Pipeline::parse(pipeline)?;
        self.exchange_pipeline(name, pipeline, dry_run)
            .await
            .map_err(|error| error.to_api_error(""))
    }

    async fn exchange_pipeline(self: &Arc<Self>, name: &str, pipeline: Pipeline, dry_run: bool) -> Result<PipelineChanged, PipelineError> {
        // What is installed must stay as it is between check and change.
        let right = self.pipelines.changes.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        let collection = self.store.catalog.collection(name).await?;
        if !dry_run {
            self.not_while_reindexing(&collection).await?;
        }
        let resolved = self.pipelines.resolve(&collection.id, name, pipeline)?;
        let old = Pipeline::parse(collection.pipeline.clone())?;
        let mut scope = ReindexScope::between(&old, &resolved.pipeline);
        // Another model may go by the old one's name.
        let locked = serde_json::from_value::<Lock>(collection.lock.clone()).ok().map(|lock| lock.model);
        if locked.is_some_and(|model| model != resolved.lock.model) {
            scope = scope.max(ReindexScope::Embed);
        }
        let mut plan = match scope {
            ReindexScope::Nothing => Plan::default(),
            _ => self.plan(&collection, &resolved, ReindexScope::Nothing).await?,
        };
        if plan.documents == 0 {
            plan.most = scope;
        }
        let mut answer = PipelineChanged {
            collection: name.to_owned(),
            changed: false,
            redo: plan.most.name().to_owned(),
            documents_affected: plan.affected,
            chunks_affected: plan.chunks,
            pipeline: serde_json::to_value(&resolved.pipeline).unwrap_or_default(),
            lock: serde_json::to_value(&resolved.lock).unwrap_or_default(),
            reindex: None,
        };
        if dry_run {
            return Ok(answer);
        }
        if plan.most != ReindexScope::Nothing {
            let begun = self
                .reindexer
                .begin(&collection, new_reindex(&resolved, plan.most, ReindexScope::Nothing))
                .await?;
            drop(right);
            if plan.documents == 0 {
                // It has only to make an index: who asked need not come back for it.
                let _ = tokio::time::timeout(EMPTY, self.jobs.reindexing.ended(&collection.id)).await;
            }
            let now = self.store.catalog.reindex(&collection.id).await?.unwrap_or(begun);
            if let (ReindexStatus::Failed, Some((_, message)), 0) = (now.status, &now.error, plan.documents) {
                return Err(ApiError::new(ErrorCode::ProcessingError, message.clone()).into());
            }
            answer.changed = now.status == ReindexStatus::Success;
            answer.reindex = (!answer.changed).then(|| reindex::info(&now));
            return Ok(answer);
        }
        if old == resolved.pipeline && collection.lock == answer.lock {
            return Ok(answer);
        }
        let plugins = &resolved.lock.plugins;
        let event = json!({ "timestamp": timestamp::now(), "plugins": plugins, "pipeline": answer.pipeline });
        let event = NewEvent::new("pipeline_changed", event);
        let event = self
            .store
            .catalog
            .set_pipeline(&collection.id, &answer.pipeline, &answer.lock, event)
            .await?;
        self.pipelines.forget(&collection.id);
        let Some(event) = event else {
            return Err(ApiError::collection_not_found(name).into());
        };
        self.store.publish(event);
        answer.changed = true;
        Ok(answer)
    }

    /// Makes the documents of a collection again, by its present pipeline and what is installed now: what each needs, and `at_least`
    /// that. With `dry_run` it only tells what that would be.
    ///
    /// # Errors
    /// `CONFLICT` while the collection is re-indexed, or a pipeline that does not fit what is installed.
    pub async fn reindex(self: &Arc<Self>, name: &str, at_least: ReindexScope, dry_run: bool) -> Result<ReindexPlan, ApiError> {
        let work = async {
            let _right = self.pipelines.changes.acquire().await.map_err(|_| PipelineError::Abandoned)?;
            let collection = self.store.catalog.collection(name).await?;
            if !dry_run {
                self.not_while_reindexing(&collection).await?;
            }
            let resolved = self
                .pipelines
                .resolve_stored(&collection.id, name, Pipeline::parse(collection.pipeline.clone())?)?;
            let plan = self.plan(&collection, &resolved, at_least).await?;
            let most = plan.most.max(at_least);
            let reindex = match dry_run {
                true => None,
                false => Some(self.reindexer.begin(&collection, new_reindex(&resolved, most, at_least)).await?),
            };
            Ok::<_, PipelineError>(ReindexPlan {
                collection: name.to_owned(),
                redo: most.name().to_owned(),
                documents_affected: plan.affected,
                chunks_affected: plan.chunks,
                documents: plan.by_scope,
                reindex: reindex.as_ref().map(reindex::info),
            })
        };
        work.await.map_err(|error| error.to_api_error(""))
    }

    /// Stops the re-index of a collection, which stays as it was; tells how it ended.
    ///
    /// # Errors
    /// `CONFLICT` where none runs.
    pub async fn cancel_reindex(self: &Arc<Self>, name: &str) -> Result<ReindexInfo, ApiError> {
        let work = async {
            let collection = self.store.catalog.collection(name).await?;
            let running = self.store.catalog.reindex(&collection.id).await?;
            if running.is_none_or(|reindex| reindex.status != ReindexStatus::Running) {
                let message = format!("no re-index of `{name}` runs: GET /collections/{name}/info tells of the last one");
                return Err(ApiError::new(ErrorCode::Conflict, message).into());
            }
            self.jobs.reindexing.stop(&collection.id).await;
            self.peers.stop(Stop::Reindex(collection.id.clone())).await?;
            let mut ended = self.store.catalog.reindex(&collection.id).await?;
            if let Some(left) = ended.as_ref().filter(|ended| ended.status == ReindexStatus::Running) {
                // Its server died, and no other has taken it over yet.
                self.reindexer.end_without_swap(left, ReindexStatus::Cancelled, None).await?;
                ended = self.store.catalog.reindex(&collection.id).await?;
            }
            let ended = ended.ok_or_else(|| PipelineError::from(ApiError::collection_not_found(name)))?;
            Ok::<_, PipelineError>(reindex::info(&ended))
        };
        work.await.map_err(|error| error.to_api_error(""))
    }

    async fn not_while_reindexing(&self, collection: &Collection) -> Result<(), PipelineError> {
        match self.store.catalog.reindex(&collection.id).await? {
            Some(running) if running.status == ReindexStatus::Running => Err(reindexing(&collection.name, &running).into()),
            _ => Ok(()),
        }
    }

    /// What the documents of a collection need.
    async fn plan(&self, collection: &Collection, target: &Resolved, at_least: ReindexScope) -> Result<Plan, PipelineError> {
        let mut plan = Plan::default();
        let states = DocumentState::ALL.iter().copied();
        let states: Vec<_> = states
            .filter(|state| state.is_processing() || *state == DocumentState::Live)
            .collect();
        loop {
            let query = DocumentQuery {
                collection_ids: Some(vec![collection.id.clone()]),
                states: states.clone(),
                limit: PAGE,
                offset: plan.documents,
                ..DocumentQuery::default()
            };
            let page = self.store.catalog.list_documents(&query).await?.items;
            for document in &page {
                let scope = self.pipelines.scope_of(document, target, at_least);
                plan.most = plan.most.max(scope);
                plan.documents += 1;
                *plan.by_scope.entry(scope.name().to_owned()).or_default() += 1;
                if scope != ReindexScope::Nothing {
                    plan.affected += 1;
                    plan.chunks += u64::from(document.chunks_total);
                }
            }
            if page.len() < PAGE as usize {
                return Ok(plan);
            }
        }
    }
}

fn new_reindex(resolved: &Resolved, scope: ReindexScope, at_least: ReindexScope) -> NewReindex {
    NewReindex {
        scope: scope.name().to_owned(),
        at_least: at_least.name().to_owned(),
        pipeline: json!(resolved.pipeline),
        lock: json!(resolved.lock),
    }
}

/// Why a pipeline cannot be changed now.
fn reindexing(name: &str, running: &Reindex) -> ApiError {
    let message = format!(
        "`{name}` is being re-indexed: wait until that is done (GET /collections/{name}/info tells how far it is), or stop it \
         (DELETE /collections/{name}/reindex)"
    );
    ApiError::new(ErrorCode::Conflict, message).with("reindex", json!(reindex::info(running)))
}
