//! Flags of the commands that run a server, look after it and keep its data.

use super::SettingsArgs;
use clap::Args;
use std::path::PathBuf;

/// `ibid serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `ibid backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where to: a directory that is not there yet, or empty
    pub dir: PathBuf,
    /// Print what was copied as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ibid restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    pub dir: PathBuf,
    /// Settings: which data directory.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Print what was put back as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ibid doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Print the checks as JSON
    #[arg(long)]
    pub json: bool,
    /// Mend what is wrong in the data directory; its server must be stopped
    #[arg(long)]
    pub repair: bool,
}

/// `ibid config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
    /// Print all settings there are, as a page of Markdown
    #[arg(long, conflicts_with = "json")]
    pub reference: bool,
}
