//! Converts Prometheus' text format to JSON, for clients without a parser for it.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Names and values of labels.
type Labels = Vec<(String, String)>;

/// One metric with all its samples.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: Labels,
    value: f64,
}

/// Converts the text format (0.0.4) to `{"metrics": [{name, type, help, samples}]}`, by name. A sample is `{labels, value}`, for a
/// histogram `{labels, count, sum, buckets: [{le, count}]}`; counts of buckets are cumulative, as in the text. Skips malformed lines.
pub fn to_json(text: &str) -> Value {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next(), words.next());
            let (Some(what), Some(name)) = (what, name) else { continue };
            let family = families.entry(name.to_owned()).or_default();
            match what {
                "TYPE" => rest.unwrap_or_default().clone_into(&mut family.kind),
                "HELP" => family.help = unescape(rest.unwrap_or_default()),
                _ => {}
            }
        } else if let Some(sample) = sample(line) {
            let name = family_of(&sample.name, &families);
            families.entry(name).or_default().samples.push(sample);
        }
    }
    let metrics: Vec<Value> = families
        .into_iter()
        .map(|(name, family)| {
            let samples = if family.kind == "histogram" {
                histograms(&name, &family.samples)
            } else {
                family.samples.iter().map(plain).collect()
            };
            json!({ "name": name, "type": family.kind, "help": family.help, "samples": samples })
        })
        .collect();
    json!({ "metrics": metrics })
}

/// Returns the metric that a sample belongs to: those of a histogram have suffixes.
fn family_of(sample: &str, families: &BTreeMap<String, Family>) -> String {
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| sample.strip_suffix(suffix))
        .find(|name| families.get(*name).is_some_and(|family| family.kind == "histogram"))
        .unwrap_or(sample)
        .to_owned()
}

fn plain(sample: &Sample) -> Value {
    json!({ "labels": labels(&sample.labels), "value": sample.value })
}

fn labels(labels: &[(String, String)]) -> Value {
    labels
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

fn histograms(name: &str, samples: &[Sample]) -> Vec<Value> {
    let mut by_labels: BTreeMap<Labels, (f64, f64, Vec<Value>)> = BTreeMap::new();
    for sample in samples {
        let (bounds, own): (Vec<_>, Vec<_>) = sample.labels.iter().cloned().partition(|(name, _)| name == "le");
        let (count, sum, buckets) = by_labels.entry(own).or_default();
        match sample.name.strip_prefix(name) {
            Some("_count") => *count = sample.value,
            Some("_sum") => *sum = sample.value,
            _ => {
                // The last bound is not a number, and its count is the total.
                if let Some(bound) = bounds
                    .first()
                    .and_then(|(_, le)| le.parse::<f64>().ok())
                    .filter(|bound| bound.is_finite())
                {
                    buckets.push(json!({ "le": bound, "count": sample.value }));
                }
            }
        }
    }
    by_labels
        .into_iter()
        .map(|(own, (count, sum, buckets))| json!({ "labels": labels(&own), "count": count, "sum": sum, "buckets": buckets }))
        .collect()
}

/// Parses `name{label="value",...} number`.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let close = closing_quote(after)?;
            let (value, after) = after.split_at(close);
            labels.push((label.to_owned(), unescape(value)));
            rest = after.strip_prefix('"')?;
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Returns the index of a value's closing quote.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices()
        .find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map(|(at, _)| at)
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, (c == '\\').then(|| chars.next()).flatten()) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(other)) => out.push(other),
            (other, _) => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_kinds_of_metrics_are_read() {
        let text = "# HELP a_total What \\\\ it\\nis.\n# TYPE a_total counter\na_total{x=\"1\",y=\"say \\\"hi\\\", {all}\"} 3\na_total 0\n\n\
                    # TYPE g gauge\ng -1.5\n\n# TYPE h histogram\nh_bucket{s=\"a\",le=\"0.5\"} 1\nh_bucket{s=\"a\",le=\"+Inf\"} 2\nh_sum{s=\"a\"} 3.25\nh_count{s=\"a\"} 2\n";
        let expected = json!({ "metrics": [
            { "name": "a_total", "type": "counter", "help": "What \\ it\nis.", "samples": [
                { "labels": { "x": "1", "y": "say \"hi\", {all}" }, "value": 3.0 }, { "labels": {}, "value": 0.0 }] },
            { "name": "g", "type": "gauge", "help": "", "samples": [{ "labels": {}, "value": -1.5 }] },
            { "name": "h", "type": "histogram", "help": "", "samples": [
                { "labels": { "s": "a" }, "count": 2.0, "sum": 3.25, "buckets": [{ "le": 0.5, "count": 1.0 }] }] },
        ] });
        assert_eq!(to_json(text), expected);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[#a-z{}=\",\\\\ 0-9\n]{0,120}") {
            to_json(&text);
        }

        #[test]
        fn any_label_arrives_as_it_was(value in ".{0,20}") {
            prop_assume!(!value.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']));
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let read = to_json(&format!("m{{l=\"{escaped}\"}} 1"));
            prop_assert_eq!(&read["metrics"][0]["samples"][0]["labels"]["l"], &Value::from(value));
        }
    }
}
