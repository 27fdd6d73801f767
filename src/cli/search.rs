//! `ibid search`: passages by `POST /search`.

use super::answer::place;
use super::args::SearchArgs;
use super::client::Client;
use super::{CliError, console};
use serde_json::{Map, Value};

/// Characters of a passage that are shown.
const PASSAGE: usize = 320;

/// Searches and prints the passages, best first.
pub async fn run(client: &Client, args: SearchArgs) -> Result<(), CliError> {
    let query = args.query.join(" ");
    let mut body = Map::new();
    body.insert("query".to_owned(), query.into());
    body.insert("limit".to_owned(), args.limit.into());
    body.insert("offset".to_owned(), args.offset.into());
    let optional = [
        ("collection_name", args.collection.map(Value::from)),
        ("search_type", args.search_type.map(|kind| kind.name().into())),
        ("mode", args.mode.map(|mode| mode.name().into())),
    ];
    body.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let found = client.post(&["search"], &body.into()).await?;
    if args.json {
        return console::json(&found);
    }
    let results = found
        .get("results")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if results.is_empty() {
        console::note("Nothing found.");
        return Ok(());
    }
    console::print(&results.iter().map(passage).collect::<Vec<_>>().join("\n"))
}

fn passage(hit: &Value) -> String {
    let rank = hit.get("rank").and_then(Value::as_u64).unwrap_or_default();
    let score = hit.get("relevance_score").and_then(Value::as_f64).unwrap_or_default();
    let at = hit.get("metadata").unwrap_or(&Value::Null);
    let sections = at.get("section").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let section = sections.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" > ");
    let section = if section.is_empty() {
        section
    } else {
        format!("   {}\n", console::shorten(&section, 110))
    };
    let content = hit.get("content").and_then(Value::as_str).unwrap_or_default();
    format!(
        "{rank}. {}  ({score:.2})\n{section}   {}\n",
        place(at),
        console::shorten(content, PASSAGE)
    )
}

#[cfg(test)]
mod tests {
    use super::passage;
    use serde_json::json;

    #[test]
    fn a_passage_says_where_it_stands() {
        let hit = json!({
            "content": "Revenue\n rose.", "relevance_score": 0.834, "rank": 1,
            "metadata": { "source": "a.pdf", "page": 7, "section": ["Results", "Revenue"] }
        });
        assert_eq!(passage(&hit), "1. a.pdf, page 7  (0.83)\n   Results > Revenue\n   Revenue rose.\n");
        assert_eq!(passage(&json!({})), "0. unknown source  (0.00)\n   \n");
    }
}
