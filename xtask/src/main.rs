//! Tasks for those who work on this repository: `cargo xtask tidy`.

use std::process::ExitCode;

mod tidy;

const USAGE: &str = "Usage: cargo xtask tidy [--update]

  tidy             checks the repository's own rules; CI runs it
  tidy --update    writes xtask/tidy-baseline.txt again, which may only shrink";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let update = match arguments.as_slice() {
        ["tidy"] => false,
        ["tidy", "--update"] => true,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match tidy::run(update) {
        Ok(report) => {
            println!("{report}");
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("cargo xtask tidy: {error}");
            ExitCode::from(2)
        }
    }
}
