//! Flags of `ibid key` and `ibid token`: who may do what.

use super::SettingsArgs;
use clap::{Args, Subcommand};

/// `ibid key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: KeyAction,
}

/// What to do with API keys. A running server takes note within a second or two.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Make a key, and print it: it is shown this once
    #[command(after_help = "\
Examples:
  ibid key new laptop --role admin
  ibid key new website --scope read --collection public --collection 'news-*' --expires 90d

Scopes: read, write, delete, config, monitor, admin. Roles: viewer (read), user (and write), manager (and delete), admin (all).")]
    New {
        /// What it is for; unique
        name: String,
        /// What it may do, and in which collections.
        #[command(flatten)]
        grant: GrantArgs,
        /// When it ends, such as 12h, 90d or 52w [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List the keys; the keys themselves are not kept
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// End a key: requests with it are refused, and its sockets are closed
    Revoke {
        /// The key's name or identifier
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, Default, Args)]
pub struct GrantArgs {
    /// What it may do; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// The same by a word; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Collection, or pattern such as 'team-*', that it may touch; may be repeated [default: all]
    #[arg(short, long = "collection", value_name = "NAME")]
    pub collections: Vec<String>,
}

/// `ibid token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: TokenAction,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Sign a JSON Web Token with the secret or private key of the settings, and print it
    #[command(after_help = "\
Example:
  export IBID_TOKEN=$(ibid token mint --role user --expires 8h)

It signs by auth.algorithm with auth.secret, auth.secret_file or auth.private_key_file, and takes the first of auth.issuers and
auth.audiences. For development: a service for others has somebody else who signs.")]
    Mint {
        /// Who it is for
        #[arg(long, default_value = "developer", value_name = "NAME")]
        sub: String,
        /// What it may do, and in which collections.
        #[command(flatten)]
        grant: GrantArgs,
        /// When it ends, such as 30m, 12h or 90d
        #[arg(long, default_value = "1h", value_name = "TIME")]
        expires: String,
        /// Name of the key, where there are several
        #[arg(long, value_name = "KID")]
        kid: Option<String>,
        /// Print JSON: the token, and what it claims
        #[arg(long)]
        json: bool,
        /// Settings.
        #[command(flatten)]
        settings: SettingsArgs,
    },
}
