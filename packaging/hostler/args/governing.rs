//! The arguments of `keys` and `audit`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List API keys: yours, and everybody's for admins and owners
    List,
    /// Make an API key; it is shown once
    #[command(after_help = "Examples:
  hostler keys create CI --expires-in-days 90
  hostler keys create board --scope tasks:read --scope projects:read")]
    Create {
        /// Where it is used
        name: String,
        /// What it may do (repeatable) [default: all that the credential in use may]
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<String>,
        /// After how many days it stops being good [default: never]
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
    },
    /// Revoke an API key: the next request with it is refused
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, newest first
    List {
        /// Only by this person (email)
        #[arg(long)]
        actor: Option<String>,
        /// Only actions that begin so: `task.`, `key.revoke`
        #[arg(long)]
        action: Option<String>,
        /// Only things with this in their name
        #[arg(long)]
        thing: Option<String>,
        /// Only the thing with this id
        #[arg(long)]
        id: Option<String>,
        /// Only entries before this number
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Write the whole log to standard output, oldest first
    Export {
        /// How
        #[arg(long, value_enum, default_value_t = AuditFormat::Jsonl)]
        format: AuditFormat,
    },
    /// Check that no entry was changed, taken out or put in between
    Verify,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AuditFormat {
    /// One JSON object a line
    Jsonl,
    /// For spreadsheets
    Csv,
}
