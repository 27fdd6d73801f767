//! The report as one HTML page that needs nothing from elsewhere: tables, plots, and the questions that went worst.

use super::metrics::{Found, HITS, METRICS};
use super::plots::{Bars, Line, colour, escaped, intervals, lines};
use super::questions::{Position, Question};
use super::report::{Asked, Report, Run, difference, seconds};
use std::collections::HashMap;
use std::fmt::Write;

/// Questions of each run that are shown, the worst first.
const WORST: usize = 20;

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1a1a1a; --pale: #6b6b6b; --line: #d5d5d5; --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --pale: #a0a0a0; --line: #444; --back: #161616; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; } .pale { color: var(--pale); }
figure { display: inline-block; margin: 0 2rem 1rem 0; } figcaption { color: var(--pale); } svg { max-width: 100%; height: auto; }
svg text { fill: var(--pale); font: 11px system-ui, sans-serif; } .grid { stroke: var(--line); } .dashed { stroke-dasharray: 4 4; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .4em; }
details { margin: .4rem 0; } summary { cursor: pointer; } blockquote { margin: .2rem 0 .6rem; padding-left: .8rem; border-left: 3px solid var(--line); white-space: pre-line; }
.hit { border-left-color: #009e73; }";

/// The page.
pub fn page(report: &Report, questions: &[Question]) -> String {
    let mut out = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    // Whatever stands in a document or a question: nothing of it runs, and nothing is fetched.
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\"><title>Evaluation</title>");
    let _ = write!(out, "<style>{STYLE}</style></head><body><h1>Evaluation</h1>");
    let _ = write!(
        out,
        "<p>{} questions; intervals of {} % by the bootstrap over questions.</p><ul>",
        report.questions,
        report.confidence * 100.0
    );
    for (n, run) in report.runs.iter().enumerate() {
        let _ = write!(
            out,
            "<li><span class=\"key\" style=\"background:{}\"></span>{} <span class=\"pale\">collection {}</span></li>",
            colour(n),
            escaped(&run.label),
            escaped(&run.collection)
        );
    }
    out.push_str("</ul>");
    tables(&mut out, report);
    plots(&mut out, report);
    let by_id: HashMap<&str, &Question> = questions.iter().map(|question| (question.id.as_str(), question)).collect();
    for run in &report.runs {
        worst(&mut out, run, &by_id);
    }
    out.push_str("</body></html>\n");
    out
}

fn tables(out: &mut String, report: &Report) {
    out.push_str("<h2>Metrics</h2><div class=\"wide\"><table><tr><th>metric</th>");
    for (n, run) in report.runs.iter().enumerate() {
        let _ = write!(out, "<th>{}</th>", escaped(&run.label));
        if n > 0 {
            out.push_str("<th class=\"pale\">difference to the first</th>");
        }
    }
    out.push_str("</tr>");
    for name in METRICS
        .iter()
        .filter(|name| report.runs.iter().any(|run| run.metrics.contains_key(**name)))
    {
        let _ = write!(out, "<tr><td>{name}</td>");
        for (n, run) in report.runs.iter().enumerate() {
            match run.metrics.get(*name) {
                Some(found) => {
                    let _ = write!(
                        out,
                        "<td>{:.3} <span class=\"pale\">{:.3} to {:.3}, n = {}</span></td>",
                        found.mean, found.low, found.high, found.n
                    );
                }
                None => out.push_str("<td>–</td>"),
            }
            if n > 0 {
                let cell = run.differences.get(*name).map_or_else(|| "–".to_owned(), difference);
                let _ = write!(out, "<td class=\"pale\">{cell}</td>");
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div><h2>Times and quotations</h2><div class=\"wide\"><table><tr><th>run</th><th>search, median</th><th>95 %</th><th>answer, median</th><th>95 %</th><th>quotations</th><th>exact</th><th>with a page</th></tr>");
    for run in &report.runs {
        let _ = write!(out, "<tr><td>{}</td>", escaped(&run.label));
        for name in ["search_p50_ms", "search_p95_ms", "answer_p50_ms", "answer_p95_ms"] {
            let cell = run.latency.get(name).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
            let _ = write!(out, "<td>{cell}</td>");
        }
        let cited = run.citations;
        let _ = write!(
            out,
            "<td>{}</td><td>{}</td><td>{}</td></tr>",
            cited.total, cited.exact, cited.with_page
        );
    }
    out.push_str("</table></div>");
}

fn plots(out: &mut String, report: &Report) {
    out.push_str("<h2>Plots</h2>");
    let runs = || report.runs.iter().enumerate();
    let mut rows = Vec::new();
    for name in METRICS {
        let bars: Vec<(usize, [f64; 3])> = runs()
            .filter_map(|(n, run)| run.metrics.get(name).map(|found| (n, [found.low, found.mean, found.high])))
            .collect();
        if !bars.is_empty() {
            rows.push(Bars {
                name: name.to_owned(),
                bars,
            });
        }
    }
    figure(
        out,
        "Metrics with their intervals",
        &intervals("Metrics with their intervals", &rows),
    );

    let at = |n: usize| n as f64 / (HITS.len() - 1) as f64;
    let ticks: Vec<(f64, String)> = HITS.iter().enumerate().map(|(n, (most, _))| (at(n), most.to_string())).collect();
    let hits = runs().map(|(run, of)| {
        let points = HITS.iter().enumerate();
        let points: Vec<(f64, f64)> = points
            .filter_map(|(n, (_, name))| Some((at(n), of.metrics.get(*name)?.mean)))
            .collect();
        Line {
            run,
            radius: vec![3.0; points.len()],
            points,
        }
    });
    let title = "Share of questions with a hit among the first k passages";
    figure(out, title, &lines(title, &ticks, &hits.collect::<Vec<_>>(), false));

    let all = |of| report.runs.iter().map(|run| seconds(&run.asked, of)).collect::<Vec<_>>();
    for (what, times) in [("search", all(Asked::search)), ("answer", all(Asked::answer))] {
        let longest = times.iter().flatten().copied().fold(0.0, f64::max);
        if longest <= 0.0 {
            continue;
        }
        let ticks: Vec<(f64, String)> = (0..=4)
            .map(|n| (f64::from(n) / 4.0, format!("{:.0} ms", 250.0 * f64::from(n) * longest)))
            .collect();
        let shares = times.iter().enumerate().map(|(run, times)| {
            let share = |n: usize| (n + 1) as f64 / times.len() as f64;
            Line {
                run,
                points: times.iter().enumerate().map(|(n, time)| (time / longest, share(n))).collect(),
                radius: Vec::new(),
            }
        });
        let title = format!("Share of questions whose {what} took at most so long");
        figure(out, &title, &lines(&title, &ticks, &shares.collect::<Vec<_>>(), false));
    }

    if report.runs.iter().any(|run| !run.reliability.is_empty()) {
        let ticks: Vec<(f64, String)> = (0..=5).map(|n| f64::from(n) / 5.0).map(|at| (at, format!("{at:.1}"))).collect();
        let bins = runs().map(|(run, of)| Line {
            run,
            points: of.reliability.iter().map(|bin| (bin.claimed, bin.measured)).collect(),
            radius: of
                .reliability
                .iter()
                .map(|bin| 2.0 + (bin.quotations as f64).sqrt().min(10.0))
                .collect(),
        });
        let title = "Share of quotations that stand where the answer is, by their confidence";
        figure(out, title, &lines(title, &ticks, &bins.collect::<Vec<_>>(), true));
    }
}

fn figure(out: &mut String, caption: &str, svg: &str) {
    let _ = write!(out, "<figure>{svg}<figcaption>{}</figcaption></figure>", escaped(caption));
}

/// How well a question went: first by what was found, then by what was quoted.
fn quality(asked: &Asked) -> f64 {
    let value = |name: &str| asked.values.get(name).copied();
    let found = value("recall@5").or_else(|| value("mrr@20"));
    let answered = value("answer_number")
        .or_else(|| value("gold_cited"))
        .or_else(|| value("answer_recall"));
    found.unwrap_or(0.0) + 0.5 * answered.unwrap_or(0.0)
}

fn worst(out: &mut String, run: &Run, questions: &HashMap<&str, &Question>) {
    let mut asked: Vec<&Asked> = run.asked.iter().collect();
    asked.sort_by(|a, b| quality(a).total_cmp(&quality(b)));
    let _ = write!(
        out,
        "<h2>Worst questions of {}</h2><p class=\"pale\">With a green edge: what was to be found.</p>",
        escaped(&run.label)
    );
    for asked in asked.into_iter().take(WORST) {
        if let Some(question) = questions.get(asked.id.as_str()) {
            one(out, asked, question);
        }
    }
}

fn one(out: &mut String, asked: &Asked, question: &Question) {
    let rank = match asked.rank {
        Some(rank) => format!("rank {rank}"),
        None if asked.has_gold => "not found".to_owned(),
        None => "no place known".to_owned(),
    };
    let _ = write!(
        out,
        "<details><summary>{} <span class=\"pale\">{rank}</span></summary>",
        escaped(&question.text)
    );
    let places: Vec<String> = question
        .gold
        .iter()
        .map(|gold| match gold.place {
            Position::Anywhere => gold.document.clone(),
            Position::Page(page) => format!("{}, page {page}", gold.document),
            Position::Span(start, end) => format!("{}, characters {start} to {end}", gold.document),
        })
        .collect();
    let _ = write!(out, "<p>Expected: {}", escaped(&places.join("; ")));
    if let Some(answer) = &question.answer {
        let _ = write!(out, "{}<em>{}</em>", if places.is_empty() { "" } else { "; " }, escaped(answer));
    }
    out.push_str("</p>");
    let hit = |found: &Found| question.gold.iter().any(|gold| found.finds(gold));
    for (n, found) in asked.found.iter().enumerate() {
        passage(out, &format!("{}. ", n + 1), found, hit(found));
    }
    if let Some(answer) = &asked.answer {
        let _ = write!(out, "<p>Answer:</p><blockquote>{}</blockquote>", escaped(answer));
        for (n, (found, hit)) in asked.cited.iter().enumerate() {
            passage(out, &format!("[{}] ", n + 1), found, *hit);
        }
    }
    out.push_str("</details>");
}

fn passage(out: &mut String, number: &str, found: &Found, hit: bool) {
    let place = match found.page {
        Some(page) => format!("{}, page {page}", found.source),
        None => format!("{}, characters {} to {}", found.source, found.start, found.end),
    };
    let _ = write!(
        out,
        "<p>{number}{} <span class=\"pale\">({:.2})</span></p><blockquote{}>{}</blockquote>",
        escaped(&place),
        found.score,
        if hit { " class=\"hit\"" } else { "" },
        escaped(&found.content)
    );
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::Bootstrap;
    use super::super::metrics::{of_answer, of_search};
    use super::super::questions::Gold;
    use super::super::report::Citations;
    use super::*;

    #[test]
    fn the_page_holds_everything_and_nothing_of_it_runs() {
        let hostile = "<script>alert(1)</script><img src=http://elsewhere.example/x>";
        let question = Question {
            id: "q".to_owned(),
            text: format!("What is {hostile}?"),
            gold: vec![Gold {
                document: "a.pdf".to_owned(),
                place: Position::Page(3),
            }],
            answer: Some("Forty-two".to_owned()),
        };
        let found = |page, content: &str| Found {
            source: "a.pdf".to_owned(),
            document_id: "d".to_owned(),
            page: Some(page),
            start: 5,
            end: 9,
            content: content.to_owned(),
            score: 0.8,
        };
        let passages = vec![found(1, hostile), found(3, "The answer is here")];
        let mut values = of_search(&question, &passages);
        values.extend(of_answer(&question, "Forty", &passages));
        let asked = Asked {
            id: "q".to_owned(),
            values,
            rank: Some(2),
            search_seconds: Some(0.01),
            answer_seconds: Some(0.2),
            cited: vec![(passages[1].clone(), true)],
            found: passages,
            answer: Some("Forty".to_owned()),
            has_gold: true,
        };
        let bootstrap = Bootstrap { seed: 1, confidence: 0.9 };
        let run = |label: &str| {
            Run::new(
                label.to_owned(),
                hostile.to_owned(),
                vec![asked.clone()],
                Citations::default(),
                bootstrap,
            )
        };
        let report = Report::new(1, bootstrap, vec![run("one"), run("two")]);
        let page = page(&report, &[question]);
        assert!(
            !page.contains("<script") && !page.contains("<img") && !page.contains("href"),
            "{page}"
        );
        for text in [
            "rank 2",
            "a.pdf, page 3",
            "Forty-two",
            "class=\"hit\">The answer is here",
            "0.500",
            "+0.000",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
        // Metrics, hits, two kinds of times, confidence.
        assert_eq!(page.matches("<svg").count(), 5);
    }
}
