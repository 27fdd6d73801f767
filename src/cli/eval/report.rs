//! What an evaluation found, as data: the JSON that `--json` prints and `--gate` reads, and the tables for people.

use super::super::console;
use super::bootstrap::{Bootstrap, Interval, quantile};
use super::metrics::{Found, METRICS, Values};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Version of the JSON.
pub const FORMAT: u32 = 1;
/// Bins of the table that compares confidence with what it claims.
const BINS: usize = 10;

/// All runs over one set of questions.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Questions in the set.
    pub questions: usize,
    /// Share of resamples that lie in an interval.
    pub confidence: f64,
    /// Where the random numbers began.
    pub seed: u64,
    /// In the order in which they were asked for; the others are compared with the first.
    pub runs: Vec<Run>,
}

/// One way to ask the questions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Tells it from the others, and finds it in a baseline.
    pub label: String,
    /// The collection.
    pub collection: String,
    /// Metrics over all questions to which they apply.
    pub metrics: BTreeMap<String, Interval>,
    /// Differences to the first run, of questions that both have; positive is better. Empty for the first.
    #[serde(default)]
    pub differences: BTreeMap<String, Interval>,
    /// Milliseconds: `search_p50_ms`, `search_p95_ms`, `answer_p50_ms`, `answer_p95_ms`.
    pub latency: BTreeMap<String, f64>,
    /// Quotations of all answers.
    pub citations: Citations,
    /// How often quotations of each claimed confidence stood where the answer is.
    pub reliability: Vec<Bin>,
    /// One by one.
    pub asked: Vec<Asked>,
}

/// Quotations, counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Citations {
    /// All.
    pub total: usize,
    /// Those that are the document's text at their offsets, character for character.
    pub exact: usize,
    /// Those that name a page.
    pub with_page: usize,
}

/// Quotations of about the same confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Mean of what was claimed.
    pub claimed: f64,
    /// Share that stood where the answer is.
    pub measured: f64,
    /// How many.
    pub quotations: usize,
}

/// A question, as it went.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Asked {
    /// The question's.
    pub id: String,
    /// Metrics.
    pub values: Values,
    /// Rank of the first passage that finds anything, from 1.
    pub rank: Option<usize>,
    /// Seconds that its search took.
    pub search_seconds: Option<f64>,
    /// Seconds that its answer took.
    pub answer_seconds: Option<f64>,
    /// The first passages, shortened.
    #[serde(skip)]
    pub found: Vec<Found>,
    /// The answer.
    #[serde(skip)]
    pub answer: Option<String>,
    /// What it cites, whole, and whether that is where the answer stands.
    #[serde(skip)]
    pub cited: Vec<(Found, bool)>,
    /// Whether anything says where the answer stands.
    #[serde(skip)]
    pub has_gold: bool,
}

impl Run {
    /// Sums up what was asked.
    pub fn new(label: String, collection: String, asked: Vec<Asked>, citations: Citations, bootstrap: Bootstrap) -> Self {
        let metrics = METRICS.iter().filter_map(|name| {
            let values: Vec<f64> = asked.iter().filter_map(|asked| asked.values.get(*name).copied()).collect();
            (!values.is_empty()).then(|| ((*name).to_owned(), bootstrap.mean(&values)))
        });
        let mut latency = BTreeMap::new();
        for (what, seconds) in [
            ("search", seconds(&asked, Asked::search)),
            ("answer", seconds(&asked, Asked::answer)),
        ] {
            if !seconds.is_empty() {
                for (name, share) in [("p50", 0.5), ("p95", 0.95)] {
                    latency.insert(format!("{what}_{name}_ms"), 1_000.0 * quantile(&seconds, share));
                }
            }
        }
        Self {
            metrics: metrics.collect(),
            differences: BTreeMap::new(),
            latency,
            citations,
            reliability: reliability(&asked),
            label,
            collection,
            asked,
        }
    }

    /// Metrics less those of `other`, over the questions that both have.
    pub fn less(&self, other: &Run, bootstrap: Bootstrap) -> BTreeMap<String, Interval> {
        let theirs: HashMap<&str, &Values> = other.asked.iter().map(|asked| (asked.id.as_str(), &asked.values)).collect();
        let differences = METRICS.iter().filter_map(|name| {
            let pairs: Vec<f64> = self
                .asked
                .iter()
                .filter_map(|asked| Some(asked.values.get(*name)? - theirs.get(asked.id.as_str())?.get(*name)?))
                .collect();
            (!pairs.is_empty()).then(|| ((*name).to_owned(), bootstrap.mean(&pairs)))
        });
        differences.collect()
    }
}

/// Times of all questions that have them, the shortest first.
pub fn seconds(asked: &[Asked], of: fn(&Asked) -> Option<f64>) -> Vec<f64> {
    let mut seconds: Vec<f64> = asked.iter().filter_map(of).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds
}

impl Asked {
    /// Seconds of its search.
    pub fn search(&self) -> Option<f64> {
        self.search_seconds
    }

    /// Seconds of its answer.
    pub fn answer(&self) -> Option<f64> {
        self.answer_seconds
    }
}

fn reliability(asked: &[Asked]) -> Vec<Bin> {
    let mut bins = [(0.0, 0usize, 0usize); BINS];
    let cited = asked.iter().filter(|asked| asked.has_gold).flat_map(|asked| &asked.cited);
    for (quotation, hit) in cited {
        let at = (quotation.score * BINS as f64) as usize;
        if let Some((claimed, hits, all)) = bins.get_mut(at.min(BINS - 1)) {
            *claimed += quotation.score;
            *hits += usize::from(*hit);
            *all += 1;
        }
    }
    let filled = bins.into_iter().filter(|(_, _, all)| *all > 0);
    filled
        .map(|(claimed, hits, all)| Bin {
            claimed: claimed / all as f64,
            measured: hits as f64 / all as f64,
            quotations: all,
        })
        .collect()
}

impl Report {
    /// The runs, the others compared with the first.
    pub fn new(questions: usize, bootstrap: Bootstrap, mut runs: Vec<Run>) -> Self {
        if let Some((first, others)) = runs.split_first_mut() {
            for run in others {
                run.differences = run.less(first, bootstrap);
            }
        }
        Self {
            format: FORMAT,
            questions,
            confidence: bootstrap.confidence,
            seed: bootstrap.seed,
            runs,
        }
    }

    /// The tables that are printed.
    pub fn tables(&self, coloured: bool) -> String {
        let labels: Vec<&str> = self.runs.iter().map(|run| run.label.as_str()).collect();
        let percent = self.confidence * 100.0;
        let mut out = format!(
            "{}, intervals of {percent} %\n\n",
            console::count(self.questions as u64, "question")
        );
        let mut rows: Vec<Vec<String>> = METRICS
            .iter()
            .filter(|name| self.runs.iter().any(|run| run.metrics.contains_key(**name)))
            .map(|name| row(name, self.runs.iter().map(|run| run.metrics.get(*name)), interval))
            .collect();
        let quotations = |run: &Run| (run.citations.total > 0).then_some(run.citations);
        if self.runs.iter().any(|run| quotations(run).is_some()) {
            let counts = |c: Citations| format!("{} of {} exact, {} with a page", c.exact, c.total, c.with_page);
            rows.push(row("quotations", self.runs.iter().map(quotations), counts));
        }
        for name in ["search_p50_ms", "search_p95_ms", "answer_p50_ms", "answer_p95_ms"] {
            if self.runs.iter().any(|run| run.latency.contains_key(name)) {
                rows.push(row(name, self.runs.iter().map(|run| run.latency.get(name)), |ms| {
                    format!("{ms:.0}")
                }));
            }
        }
        out.push_str(&console::table(&[&["METRIC"], &labels[..]].concat(), &[], &rows));
        if self.runs.len() > 1 {
            let rows: Vec<Vec<String>> = METRICS
                .iter()
                .filter(|name| self.runs.iter().any(|run| run.differences.contains_key(**name)))
                .map(|name| row(name, self.runs.iter().skip(1).map(|run| run.differences.get(*name)), difference))
                .collect();
            let first = labels.first().copied().unwrap_or_default();
            out.push_str(&format!("\nDifferences to {first}, of the same questions\n\n"));
            let table = console::table(&[&["METRIC"], labels.get(1..).unwrap_or_default()].concat(), &[], &rows);
            let (heads, body) = table.split_once('\n').unwrap_or((&table, ""));
            out.push_str(heads);
            out.push('\n');
            out.push_str(&match coloured {
                true => body
                    .replace("better", "\u{1b}[32mbetter\u{1b}[0m")
                    .replace("worse", "\u{1b}[31mworse\u{1b}[0m"),
                false => body.to_owned(),
            });
        }
        out
    }
}

/// A metric and its value in each run; those that have none show a dash.
fn row<T>(name: &str, cells: impl Iterator<Item = Option<T>>, show: impl Fn(T) -> String) -> Vec<String> {
    let cells = cells.map(|cell| cell.map_or_else(|| "–".to_owned(), &show));
    std::iter::once(name.to_owned()).chain(cells).collect()
}

fn interval(found: &Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", found.mean, found.low, found.high)
}

/// A difference, and what it means.
pub fn difference(found: &Interval) -> String {
    let verdict = match (found.is_above_zero(), found.is_below_zero()) {
        (true, _) => " better",
        (_, true) => " worse",
        _ => "",
    };
    format!("{:+.3} [{:+.3}, {:+.3}]{verdict}", found.mean, found.low, found.high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { seed: 1, confidence: 0.95 };

    fn asked(id: &str, hit: f64) -> Asked {
        Asked {
            id: id.to_owned(),
            values: [("hit@1".to_owned(), hit)].into(),
            search_seconds: Some(0.02),
            ..Asked::default()
        }
    }

    fn run(label: &str, hits: &[f64]) -> Run {
        let asked = hits.iter().enumerate().map(|(n, hit)| asked(&n.to_string(), *hit)).collect();
        Run::new(label.to_owned(), "c".to_owned(), asked, Citations::default(), BOOTSTRAP)
    }

    #[test]
    fn runs_are_compared_question_by_question() {
        let mut longer = run("b", &[0.0; 12]);
        longer.asked.push(asked("only here", 1.0));
        let report = Report::new(12, BOOTSTRAP, vec![run("a", &[1.0; 12]), longer]);
        let lost = report.runs[1].differences["hit@1"];
        assert_eq!((lost.mean, lost.n), (-1.0, 12));
        assert!(report.runs[0].differences.is_empty());
        let shown = report.tables(false);
        assert!(
            shown.contains("hit@1          1.000 [1.000, 1.000]  0.000 [0.000, 0.000]"),
            "{shown}"
        );
        assert!(
            shown.contains("-1.000 [-1.000, -1.000] worse") && shown.contains("search_p50_ms  20"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}') && report.tables(true).contains("\u{1b}[31mworse\u{1b}[0m"));
    }

    #[test]
    fn the_json_is_read_back() {
        let report = Report::new(2, BOOTSTRAP, vec![run("a", &[1.0, 0.0])]);
        let text = serde_json::to_string(&report).unwrap();
        let again: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }

    #[test]
    fn confidence_is_compared_with_what_it_claims() {
        let quotation = |score| Found {
            source: "a".to_owned(),
            document_id: String::new(),
            page: None,
            start: 0,
            end: 1,
            content: String::new(),
            score,
        };
        let known = Asked {
            has_gold: true,
            cited: vec![(quotation(0.92), true), (quotation(1.0), false), (quotation(0.15), false)],
            ..Asked::default()
        };
        let unknown = Asked {
            has_gold: false,
            ..known.clone()
        };
        let bins = reliability(&[known, unknown]);
        assert_eq!(bins.iter().map(|bin| bin.quotations).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((bins[1].claimed, bins[1].measured), (0.96, 0.5));
    }
}
