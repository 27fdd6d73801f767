//! Makes an evaluation a check: thresholds that a run must keep, or an earlier report than which it must not be worse.
//!
//! Worse than a report is what the questions that both have say beyond chance: the interval of the paired differences lies below zero. A
//! threshold is meant as it is written. Times differ between machines, so only a threshold judges them.

use super::super::CliError;
use super::bootstrap::Bootstrap;
use super::metrics::METRICS;
use super::report::{FORMAT, Report, Run, difference};
use std::path::{Path, PathBuf};

/// What a run must keep.
#[derive(Debug)]
pub enum Gate {
    /// A metric or time, and what it must be.
    Threshold(Threshold),
    /// A report.
    Baseline(PathBuf, Box<Report>),
}

/// `hit@5>=0.8`.
#[derive(Debug, PartialEq)]
pub struct Threshold {
    name: String,
    at_least: bool,
    bound: f64,
}

const TIMES: [&str; 4] = ["search_p50_ms", "search_p95_ms", "answer_p50_ms", "answer_p95_ms"];

/// Reads `--gate`: a threshold, or the path of a report.
///
/// # Errors
/// [`CliError::Usage`] for a metric that does not exist or a file that is no report, [`CliError::File`] for one that cannot be read.
pub fn parse(value: &str) -> Result<Gate, CliError> {
    let halves = [(">=", true), ("<=", false)]
        .iter()
        .find_map(|(sign, at_least)| Some((value.split_once(sign)?, *at_least)));
    let Some(((name, bound), at_least)) = halves else {
        return baseline(Path::new(value));
    };
    let name = name.trim();
    if !METRICS.contains(&name) && !TIMES.contains(&name) {
        return Err(CliError::Usage(format!(
            "--gate {value}: there is no metric `{name}`; there are {}, {}",
            METRICS.join(", "),
            TIMES.join(", ")
        )));
    }
    match bound.trim().parse::<f64>() {
        Ok(bound) if bound.is_finite() => Ok(Gate::Threshold(Threshold {
            name: name.to_owned(),
            at_least,
            bound,
        })),
        _ => Err(CliError::Usage(format!("--gate {value}: `{}` is no number", bound.trim()))),
    }
}

fn baseline(path: &Path) -> Result<Gate, CliError> {
    let text = std::fs::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })?;
    let unusable = |why: String| CliError::Usage(format!("--gate {}: {why}", path.display()));
    let report: Report =
        serde_json::from_slice(&text).map_err(|error| unusable(format!("not a report of `ibid eval --json` ({error})")))?;
    if report.format != FORMAT {
        return Err(unusable(format!(
            "a report of format {}; this version reads {FORMAT}",
            report.format
        )));
    }
    Ok(Gate::Baseline(path.to_owned(), Box::new(report)))
}

/// What was found: each comparison on a line, and those that failed.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Comparisons.
    pub checked: usize,
    /// What is not as it must be, for people.
    pub failures: Vec<String>,
    /// What could not be compared, for people.
    pub notes: Vec<String>,
}

/// Compares all runs with all gates.
///
/// # Errors
/// [`CliError::Usage`] where a gate has nothing that it could judge.
pub fn check(gates: &[Gate], report: &Report, bootstrap: Bootstrap) -> Result<Verdict, CliError> {
    let mut verdict = Verdict::default();
    for gate in gates {
        for run in &report.runs {
            match gate {
                Gate::Threshold(threshold) => keep(threshold, run, &mut verdict)?,
                Gate::Baseline(path, baseline) => compare(path, baseline, run, bootstrap, &mut verdict)?,
            }
        }
    }
    Ok(verdict)
}

/// That every baseline has a run to compare `label` with.
///
/// # Errors
/// [`CliError::Usage`].
pub fn comparable(gates: &[Gate], label: &str) -> Result<(), CliError> {
    for gate in gates {
        if let Gate::Baseline(path, baseline) = gate {
            earlier(path, baseline, label)?;
        }
    }
    Ok(())
}

/// The baseline's run that a run is compared with: of the same label, or the only one.
fn earlier<'a>(path: &Path, baseline: &'a Report, label: &str) -> Result<&'a Run, CliError> {
    match (baseline.runs.as_slice(), baseline.runs.iter().find(|before| before.label == label)) {
        (_, Some(same)) => Ok(same),
        ([only], None) => Ok(only),
        _ => {
            let labels: Vec<&str> = baseline.runs.iter().map(|run| run.label.as_str()).collect();
            Err(CliError::Usage(format!(
                "--gate {}: it has no run `{label}`, but {}",
                path.display(),
                labels.join(", ")
            )))
        }
    }
}

fn keep(threshold: &Threshold, run: &Run, verdict: &mut Verdict) -> Result<(), CliError> {
    let Threshold { name, at_least, bound } = threshold;
    let measured = run.metrics.get(name).map(|found| found.mean);
    let Some(measured) = measured.or_else(|| run.latency.get(name).copied()) else {
        return Err(CliError::Usage(format!(
            "--gate {name}: nothing was measured by that name; no question has what it needs, or --no-answers left it out"
        )));
    };
    verdict.checked += 1;
    let kept = if *at_least { measured >= *bound } else { measured <= *bound };
    if !kept {
        let wanted = if *at_least { "at least" } else { "at most" };
        verdict
            .failures
            .push(format!("{}: {name} is {measured:.3}, and must be {wanted} {bound}", run.label));
    }
    Ok(())
}

fn compare(path: &Path, baseline: &Report, run: &Run, bootstrap: Bootstrap, verdict: &mut Verdict) -> Result<(), CliError> {
    let before = earlier(path, baseline, &run.label)?;
    let differences = run.less(before, bootstrap);
    if differences.is_empty() {
        return Err(CliError::Usage(format!(
            "--gate {}: no question of `{}` is in both, with a metric that both measured",
            path.display(),
            run.label
        )));
    }
    for (name, lost) in differences.iter().filter(|(_, found)| found.is_below_zero()) {
        verdict.failures.push(format!(
            "{}: {name} is worse than in {}: {}, of {} questions",
            run.label,
            path.display(),
            difference(lost),
            lost.n
        ));
    }
    for name in before.metrics.keys().filter(|name| !differences.contains_key(*name)) {
        verdict
            .notes
            .push(format!("{}: {name} was not measured, and not compared", run.label));
    }
    verdict.checked += differences.len();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::{Asked, Citations};
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { seed: 1, confidence: 0.95 };

    fn report(label: &str, hits: &[f64]) -> Report {
        let asked = hits.iter().enumerate().map(|(n, hit)| Asked {
            id: n.to_string(),
            values: [("hit@5".to_owned(), *hit)].into(),
            search_seconds: Some(0.1),
            ..Asked::default()
        });
        let run = Run::new(label.to_owned(), "c".to_owned(), asked.collect(), Citations::default(), BOOTSTRAP);
        Report::new(hits.len(), BOOTSTRAP, vec![run])
    }

    fn judged(gate: Gate, report: &Report) -> Verdict {
        check(&[gate], report, BOOTSTRAP).unwrap()
    }

    fn against(before: Report, after: &Report) -> Verdict {
        judged(Gate::Baseline("before.json".into(), Box::new(before)), after)
    }

    #[test]
    fn a_loss_beyond_chance_fails_and_names_the_metric() {
        let before = [[1.0; 20], [0.0; 20]].concat();
        let mut after = before.clone();
        assert!(against(report("a", &before), &report("a", &after)).failures.is_empty());
        after[0] = 0.0;
        assert!(
            against(report("a", &before), &report("a", &after)).failures.is_empty(),
            "one question may be chance"
        );
        after[..10].fill(0.0);
        let verdict = against(report("a", &before), &report("a", &after));
        assert_eq!((verdict.checked, verdict.failures.len()), (1, 1));
        assert!(
            verdict.failures[0].starts_with("a: hit@5 is worse than in before.json: -0.250 ["),
            "{:?}",
            verdict.failures
        );
        // Better is never worse, and one run needs no name.
        assert!(against(report("b", &after), &report("a", &before)).failures.is_empty());
    }

    #[test]
    fn a_baseline_that_cannot_be_compared_is_an_error_not_a_pass() {
        let mut two = report("a", &[1.0]);
        two.runs.extend(report("b", &[1.0]).runs);
        let gate = [Gate::Baseline("x".into(), Box::new(two))];
        let error = check(&gate, &report("c", &[1.0]), BOOTSTRAP).unwrap_err();
        assert!(error.to_string().contains("no run `c`, but a, b"), "{error}");
        let mut other = report("a", &[1.0]);
        other.runs[0].asked[0].id = "another question".to_owned();
        let gate = [Gate::Baseline("x".into(), Box::new(other))];
        assert!(check(&gate, &report("a", &[1.0]), BOOTSTRAP).is_err());
    }

    #[test]
    fn missed_thresholds_are_reported() {
        let found = report("a", &[1.0, 0.0]);
        for (gate, holds) in [
            ("hit@5>=0.5", true),
            ("hit@5 >= .51", false),
            ("search_p95_ms<=100", true),
            ("search_p95_ms<=99", false),
        ] {
            assert_eq!(judged(parse(gate).unwrap(), &found).failures.is_empty(), holds, "{gate}");
        }
        let unmeasured = check(&[parse("iou@5>=0").unwrap()], &found, BOOTSTRAP);
        assert!(matches!(unmeasured, Err(CliError::Usage(_))));
        for gate in ["hit@6>=1", "hit@5>=x", "hit@5>=NaN"] {
            assert!(matches!(parse(gate), Err(CliError::Usage(_))), "{gate}");
        }
        assert!(matches!(parse("none.json"), Err(CliError::File { .. })));
    }
}
