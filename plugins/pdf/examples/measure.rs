//! Compares the extractor with `pdftotext` (poppler) on the files that are named as arguments.
//!
//! Prints, by file: pages, word F1 and word-pair F1 (which also sees reading order within lines)
//! as means over the pages that have words, the share of pages with F1 of at least .97, and CPU
//! time per page. `--text FILE` prints what is extracted instead, `--diff FILE PAGE` the words
//! that differ on a page, `--units FILE` the units, `--attrs FILE` the metadata. Run it in release mode.

use std::collections::HashMap;
use std::process::{Command, ExitCode};
use std::time::Instant;

use ibid_plugin_pdf::{Collected, Config, extract};

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn f1<T: std::hash::Hash + Eq>(ours: impl Iterator<Item = T>, theirs: impl Iterator<Item = T>) -> f64 {
    let mut counts: HashMap<T, i64> = HashMap::new();
    let (mut shared, mut n_ours, mut n_theirs) = (0i64, 0i64, 0i64);
    for word in theirs {
        *counts.entry(word).or_default() += 1;
        n_theirs += 1;
    }
    for word in ours {
        n_ours += 1;
        if let Some(left) = counts.get_mut(&word)
            && *left > 0
        {
            *left -= 1;
            shared += 1;
        }
    }
    if n_ours + n_theirs == 0 {
        return 1.0;
    }
    2.0 * shared as f64 / (n_ours + n_theirs) as f64
}

fn reference(path: &str) -> Result<Vec<String>, String> {
    let output = Command::new("pdftotext")
        .args(["-enc", "UTF-8", path, "-"])
        .output()
        .map_err(|error| format!("pdftotext does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut pages: Vec<String> = text.split('\x0c').map(str::to_owned).collect();
    pages.pop();
    Ok(pages)
}

/// Words as both sides write them: ligatures apart, soft hyphens out.
fn plain(text: &str) -> String {
    text.replace('\u{FB00}', "ff")
        .replace('\u{FB01}', "fi")
        .replace('\u{FB02}', "fl")
        .replace('\u{FB03}', "ffi")
        .replace('\u{FB04}', "ffl")
        .replace('\u{AD}', "")
}

/// CPU time of this thread so far in ms where the system tells it (Linux), else wall time.
fn clock(started: Instant) -> f64 {
    let cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    cpu.as_deref()
        .and_then(|stat| stat.split(' ').next()?.parse::<f64>().ok())
        .map_or_else(|| started.elapsed().as_secs_f64() * 1e3, |ns| ns / 1e6)
}

fn run(path: &str) -> Result<(Collected, f64), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let started = Instant::now();
    let before = clock(started);
    let mut collected = Collected::default();
    extract(&bytes, &Config::default(), &mut collected).map_err(|failure| format!("{} {failure}", failure.code()))?;
    Ok((collected, clock(started) - before))
}

fn diff(path: &str, page: usize) -> Result<(), String> {
    let (collected, _) = run(path)?;
    let reference = reference(path)?;
    let ours = collected.page_text(page - 1).unwrap_or_default();
    let theirs = plain(reference.get(page - 1).map_or("", String::as_str));
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for word in words(ours) {
        *counts.entry(word).or_default() += 1;
    }
    for word in words(&theirs) {
        *counts.entry(word).or_default() -= 1;
    }
    let mut list: Vec<_> = counts.into_iter().filter(|(_, n)| *n != 0).collect();
    list.sort();
    for (word, n) in list {
        println!("{n:+} {word}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--text", path] => run(path).map(|(collected, _)| print!("{}", collected.text)),
        ["--attrs", path] => run(path).map(|(collected, _)| println!("{:?}", collected.attrs)),
        ["--units", path] => run(path).map(|(collected, _)| {
            println!("{:?}", collected.attrs);
            for unit in &collected.units {
                let title = unit.title.and_then(|span| collected.at(span));
                println!(
                    "{} {} {:?} title {title:?}",
                    unit.kind,
                    unit.level,
                    collected.at(unit.at).unwrap_or_default()
                );
            }
        }),
        ["--diff", path, page] => diff(path, page.parse().unwrap_or(1)),
        paths => {
            table(paths);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn table(paths: &[&str]) {
    println!("pages     F1  pairs  >=.97   ms/page  worst pages  file");
    let (mut all, mut all_pairs, mut all_ms) = (Vec::new(), Vec::new(), 0.0);
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (collected, ms) = match run(path) {
            Ok(done) => done,
            Err(error) => {
                println!("  {error}  {name}");
                continue;
            }
        };
        let reference = reference(path).unwrap_or_default();
        let (mut scores, mut pairs) = (Vec::new(), Vec::new());
        for (at, theirs) in reference.iter().enumerate() {
            let theirs = plain(theirs);
            let (ours, theirs) = (words(collected.page_text(at).unwrap_or_default()), words(&theirs));
            if ours.is_empty() && theirs.is_empty() {
                continue;
            }
            scores.push((f1(ours.iter(), theirs.iter()), at + 1));
            pairs.push(f1(ours.windows(2), theirs.windows(2)));
        }
        let pages = collected.pages.len();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        let values: Vec<f64> = scores.iter().map(|s| s.0).collect();
        let good = values.iter().filter(|v| **v >= 0.97).count();
        let mut worst = scores.clone();
        worst.sort_by(|a, b| a.0.total_cmp(&b.0));
        let worst: Vec<String> = worst.iter().take(3).map(|(score, page)| format!("{page}:{score:.3}")).collect();
        println!(
            "{pages:5}  {:.4}  {:.3}   {:.3}  {:8.2}  {}  {name}",
            mean(&values),
            mean(&pairs),
            good as f64 / values.len().max(1) as f64,
            ms / pages.max(1) as f64,
            worst.join(" ")
        );
        all_ms += ms;
        all.extend(values);
        all_pairs.extend(pairs);
    }
    let good = all.iter().filter(|v| **v >= 0.97).count();
    let count = all.len().max(1) as f64;
    println!(
        "{:5}  {:.4}  {:.3}   {:.3}  {:8.2}  all pages",
        all.len(),
        all.iter().sum::<f64>() / count,
        all_pairs.iter().sum::<f64>() / count,
        good as f64 / count,
        all_ms / count
    );
}
