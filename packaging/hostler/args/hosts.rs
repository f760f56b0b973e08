//! `hostler hosts …`

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// List hosts
    List {
        /// Only hosts that are connected now
        #[arg(long)]
        online: bool,
        /// For administrators: also hosts they may not use, but manage
        #[arg(long, conflicts_with = "online")]
        all: bool,
    },
    /// One host in full, with what is wrong with it
    Show(HostName),
    /// Give a host another name
    Rename {
        #[command(flatten)]
        host: HostName,
        /// Its new name
        name: String,
    },
    /// Remove a host: it is cut off at once, and its automations are paused until they are moved
    Revoke(HostName),
    /// Let a member of the organization use a host
    Grant {
        #[command(flatten)]
        host: HostName,
        /// Their email
        member: String,
    },
    /// Take a member's access to a host away
    Ungrant {
        #[command(flatten)]
        host: HostName,
        /// Their email
        member: String,
    },
    /// Who may use a host
    Members(HostName),
    /// Give a host to another member
    Transfer {
        #[command(flatten)]
        host: HostName,
        /// Their email
        member: String,
    },
    /// Say which machine is the host, after another one was seen with its identity
    Confirm {
        #[command(flatten)]
        host: HostName,
        /// The machine it was on, not the one that was refused
        #[arg(long)]
        keep: bool,
    },
    /// Change the key of this machine
    RotateKey,
    /// Make a single-use enrolment key for `hostler join`
    EnrolKey,
    /// List enrolment keys that are still good, or withdraw one
    Keys {
        /// Withdraw this one (its id, or the part of it that is shown)
        #[arg(long, value_name = "KEY")]
        revoke: Option<String>,
    },
}

/// The host a command is about.
#[derive(Args, Debug)]
pub(crate) struct HostName {
    /// Host (id or name)
    pub(crate) host: String,
}
