//! Analyzers: plan the searches for a question.

use super::bindings::analyzer::exports::ibid::plugin::analysis;
use super::bindings::to_guest;
use super::call::{Runner, check_config};
use super::plugin::Pre;
use super::state::Offered;
use super::{Budget, Host, Plugin, check};
use crate::{Kind, PluginError, Reason};
use ibid_types::document::Attrs;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A search to run. The rankings of several are fused.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The text to search for; not blank.
    pub text: String,
    /// The weight in the fusion: finite, above 0; 1 is normal.
    pub weight: f32,
    /// Filters as in `POST /search`, to narrow this search.
    pub filter: Option<Map<String, Value>>,
    /// The number of candidates, at least 1; `None` takes the pipeline's number.
    pub limit: Option<u32>,
}

/// The searches for a question, and what the analyzer found out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The searches; at least one.
    pub searches: Vec<Search>,
    /// Attributes of the question: `intent`, `language`, `entity.KIND`, ...
    pub attrs: Attrs,
}

impl Host {
    /// Analyzes a question. `attrs` holds what is known about it (`mode`, `collection`, `language`); `config` is a JSON object that matches
    /// the plugin's schema.
    ///
    /// # Errors
    /// Among others `Reason::InvalidResult` for a plan without searches, or with an invalid weight.
    pub async fn analyze(&self, plugin: &Plugin, config: &str, query: &str, attrs: &Attrs, budget: &Budget) -> Result<Plan, PluginError> {
        check_config(config).map_err(|reason| plugin.error(reason))?;
        let runner = Arc::new(Runner::admit(self, plugin, budget).await?);
        let (worker, config, query) = (runner.clone(), config.to_owned(), query.to_owned());
        let attrs = to_guest(attrs);
        let work = move |cancelled| {
            let Pre::Analyzer(pre) = worker.pre() else {
                return Err(worker.is_not(Kind::Analyzer));
            };
            let mut store = worker.store(Offered::Nothing, cancelled);
            worker.guest(&mut store, |store| {
                let instance = pre.instantiate(&mut *store)?;
                let guest = instance.ibid_plugin_analysis().analyzer();
                let analyzer = guest.call_open(&mut *store, &config)??;
                let plan = guest.call_analyze(&mut *store, analyzer, &query, &attrs)??;
                Ok(checked(plan, worker.budget())?)
            })
        };
        runner.run(work).await
    }
}

fn checked(given: analysis::Plan, budget: &Budget) -> Result<Plan, Reason> {
    let (count, allowed) = (given.searches.len(), budget.output_items);
    if count > allowed {
        return Err(Reason::Limit(format!("{count} searches, with a limit of {allowed}")));
    }
    if count == 0 {
        return Err(Reason::InvalidResult("the plan has no search".into()));
    }
    let searches = given.searches.into_iter().enumerate().map(|(number, search)| {
        let invalid = |why: String| Reason::InvalidResult(format!("search {number} {why}"));
        let weight = search.weight;
        if !weight.is_finite() || weight <= 0.0 {
            return Err(invalid(format!("has the weight {weight}; weights are finite and above 0")));
        }
        if search.text.trim().is_empty() {
            return Err(invalid("has no text".into()));
        }
        if search.limit == Some(0) {
            return Err(invalid("takes no candidates".into()));
        }
        let filter = search.filter.map(|filter| serde_json::from_str(&filter)).transpose();
        let filter = filter.map_err(|error| invalid(format!("has a filter that is no JSON object: {error}")))?;
        Ok(Search {
            text: search.text,
            weight,
            filter,
            limit: search.limit,
        })
    });
    let searches = searches.collect::<Result<Vec<_>, _>>()?;
    let attrs = check::attrs(given.attrs).map_err(|why| Reason::InvalidResult(format!("of the plan's attributes {why}")))?;
    Ok(Plan { searches, attrs })
}
