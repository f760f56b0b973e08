//! The arguments of `join`, `login` and `auth`.

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hostler join https://hostler.example.com && hostler daemon
  hostler join https://hostler.example.com --key hk_… --name build-box")]
pub(crate) struct JoinArgs {
    /// URL of the control plane
    pub(crate) url: String,
    /// Enrolment key (single use, 15 minutes): `hostler hosts enrol-key` makes one [default: asked for with your sign-in]
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Name of this machine as a host [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hostler login https://hostler.example.com
  hostler login https://hostler.example.com --with-key < key.txt")]
pub(crate) struct LoginArgs {
    /// URL of the control plane [default: the one in use, else http://127.0.0.1:4880]
    pub(crate) url: Option<String>,
    /// Try to open the browser of this machine
    #[arg(long)]
    pub(crate) browser: bool,
    /// Save an API key, read from standard input, instead
    #[arg(long, conflicts_with = "browser")]
    pub(crate) with_key: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Who is signed in where, with what, until when; and how this machine stands as a host
    Status,
    /// Renew the sign-in now (commands do so by themselves)
    Refresh,
}
