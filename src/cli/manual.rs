//! `ibid completions` and `ibid man`: what the command line says of itself, for shells and for `man`.

use super::args::Cli;
use super::{CliError, console};
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;

/// Prints the completion script for a shell.
pub fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ibid", &mut script);
    console::print(&String::from_utf8_lossy(&script))
}

/// Writes a page for each command, `ibid-ask.1` and so on.
pub fn pages(dir: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::File {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)
}
