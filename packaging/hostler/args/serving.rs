//! The arguments of `up` and `server`.

use std::net::SocketAddr;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 4880)]
    pub(crate) port: u16,
    /// Name of this machine as a host [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) host_name: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

// How long run logs stay in the control plane's catalog. (A doc comment would become the command's.)
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct KeepArgs {
    /// Delete logs of runs older than so many days; 0 keeps them [runs and outcomes always stay]
    #[arg(
        long,
        value_name = "DAYS",
        default_value_t = 90,
        env = "HOSTLER_KEEP_LOGS_DAYS"
    )]
    pub(crate) keep_logs_days: u32,
    /// Delete the oldest logs beyond so many GiB in all, as compressed; 0 keeps any size
    #[arg(
        long,
        value_name = "GIB",
        default_value_t = 20,
        env = "HOSTLER_KEEP_LOGS_GIB"
    )]
    pub(crate) keep_logs_gib: u32,
}

impl KeepArgs {
    pub(crate) fn wanted(self) -> hostler_control_plane::KeepLogs {
        hostler_control_plane::KeepLogs {
            days: self.keep_logs_days,
            gib: self.keep_logs_gib,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 4880, conflicts_with = "listen")]
    pub(crate) port: u16,
    /// Address to listen on, for a control plane that other machines reach
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// URL by which clients and hosts reach it [default: http://ADDRESS:PORT]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}
