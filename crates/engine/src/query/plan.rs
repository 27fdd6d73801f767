//! What an analyzer's plan means for a query.

use ibid_plugin_host::{Plan, Search};
use ibid_protocol::{AnalysisDetail, Entity, Mode, QueryAnalysis, SearchType};

/// Returns the kind of search of a mode.
pub(crate) fn default_search(mode: Mode) -> SearchType {
    match mode {
        Mode::Speed => SearchType::Semantic,
        Mode::Balanced | Mode::Comprehensive => SearchType::Hybrid,
    }
}

/// Returns a search for the question's own words.
pub(crate) fn as_it_is(question: &str) -> Search {
    Search {
        text: question.to_owned(),
        weight: 1.0,
        filter: None,
        limit: None,
    }
}

/// Returns what is searched for: all that the analyzer proposes (it knows the mode), in `speed` the question alone.
pub(crate) fn searches(question: &str, plan: &Plan, mode: Mode) -> Vec<Search> {
    let own = || as_it_is(question);
    match mode {
        Mode::Speed => vec![own()],
        Mode::Balanced | Mode::Comprehensive if plan.searches.is_empty() => vec![own()],
        Mode::Balanced | Mode::Comprehensive => plan.searches.clone(),
    }
}

/// Returns names in the question, which may say which document is meant.
pub(crate) fn names(plan: &Plan) -> Vec<String> {
    const NAMES: [&str; 4] = ["entity.organization", "entity.person", "entity.location", "entity.identifier"];
    let names = plan.attrs.iter().filter(|(key, _)| NAMES.contains(&key.as_str()));
    names.map(|(_, name)| name.clone()).collect()
}

/// Returns what the analyzer understood, in the client's terms.
pub(crate) fn analysis(plan: &Plan) -> QueryAnalysis {
    let mut analysis = QueryAnalysis {
        intent: "factual".to_owned(),
        ..QueryAnalysis::default()
    };
    let mut detail = AnalysisDetail {
        searches: plan.searches.iter().map(|search| search.text.clone()).collect(),
        ..AnalysisDetail::default()
    };
    for (key, value) in &plan.attrs {
        match (key.as_str(), key.strip_prefix("entity.")) {
            ("intent", _) => analysis.intent.clone_from(value),
            ("language", _) => detail.language = Some(value.clone()),
            (_, Some(kind)) => {
                analysis.entities.push(value.clone());
                detail.entities.push(Entity {
                    text: value.clone(),
                    kind: kind.to_owned(),
                });
            }
            _ => {
                detail.attributes.insert(key.clone(), value.clone());
            }
        }
    }
    analysis.detail = detail;
    analysis
}
