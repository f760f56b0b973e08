//! The arguments of `up` and `server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use hostler_control_plane::edge::{Network, Settings, TlsFiles};
use hostler_control_plane::limits::{Bucket, Rate, Rates};

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
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) oauth: OAuthArgs,
}

// How often what may be done. (A doc comment would become the command's.)
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PaceArgs {
    /// Requests a minute with one token, in the long run; 0 is no limit [half of it at once]
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1_800,
        env = "HOSTLER_CALLS_PER_MINUTE",
        help_heading = "Limits"
    )]
    pub(crate) calls_per_minute: u32,
    /// Requests a minute from one address, in the long run; 0 is no limit [half of it at once]
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 6_000,
        env = "HOSTLER_REQUESTS_PER_MINUTE",
        help_heading = "Limits"
    )]
    pub(crate) requests_per_minute: u32,
    /// Connections open at a time
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 4_096,
        env = "HOSTLER_CONNECTIONS",
        help_heading = "Limits"
    )]
    pub(crate) connections: u32,
    /// Connections open at a time from one address
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 512,
        env = "HOSTLER_CONNECTIONS_PER_ADDRESS",
        help_heading = "Limits"
    )]
    pub(crate) connections_per_address: u32,
}

impl PaceArgs {
    pub(crate) fn wanted(self) -> Settings {
        let rate = |count: u32| Rate::per_minute(count, count.div_ceil(2));
        Settings {
            rates: Rates::default()
                .with(Bucket::Calls, rate(self.calls_per_minute))
                .with(Bucket::Requests, rate(self.requests_per_minute)),
            connections: openable(self.connections),
            connections_per_address: self.connections_per_address as usize,
            ..Settings::default()
        }
    }
}

/// As many connections as there are files for, leaving a quarter to everything else.
fn openable(wanted: u32) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = files.map_or(u64::MAX, |files| files - files / 4);
    usize::try_from(u64::from(wanted).min(most)).unwrap_or(usize::MAX)
}

/// Lets this process open as many files as the system allows: a server alone starts no agents, which
/// would inherit that.
pub(crate) fn raise_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(65_536).min(65_536);
    if limit.current.is_some_and(|now| now < most) {
        let raised = Rlimit {
            current: Some(most),
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files stays");
        }
    }
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

// What MCP clients that sign in through the browser get.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OAuthArgs {
    /// Life of an OAuth access token, seconds; clients refresh it by themselves
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3600,
        env = "HOSTLER_ACCESS_TOKEN_SECONDS",
        value_parser = clap::value_parser!(u32).range(5..=86_400)
    )]
    pub(crate) access_token_seconds: u32,
    /// For so long after its use a refresh token is taken once more, seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        env = "HOSTLER_REFRESH_GRACE_SECONDS",
        value_parser = clap::value_parser!(u32).range(0..=60)
    )]
    pub(crate) refresh_grace_seconds: u32,
    /// Do not take clients by their makers' documents: for a server without internet access. Clients
    /// register instead
    #[arg(long, env = "HOSTLER_NO_CLIENT_DOCUMENTS")]
    pub(crate) no_client_documents: bool,
    /// For development: also take client metadata documents from this machine, over http too. Never
    /// on a server that others reach
    #[arg(long, env = "HOSTLER_LOOPBACK_CLIENT_DOCUMENTS")]
    pub(crate) loopback_client_documents: bool,
}

impl OAuthArgs {
    pub(crate) fn wanted(self) -> hostler_control_plane::config::OAuth {
        hostler_control_plane::config::OAuth {
            access_ms: i64::from(self.access_token_seconds) * 1_000,
            grace_ms: i64::from(self.refresh_grace_seconds) * 1_000,
            documents: !self.no_client_documents,
            loopback_documents: self.loopback_client_documents,
            ..hostler_control_plane::config::OAuth::default()
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
    pub(crate) wire: WireArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) oauth: OAuthArgs,
}

// Who may read along, and who is believed. (A doc comment would become the command's.)
#[derive(Args, Clone, Debug)]
pub(crate) struct WireArgs {
    /// Speak TLS with this certificate (PEM, with those between it and its root); read again when it changes
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        env = "HOSTLER_TLS_CERT",
        help_heading = "Network"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        env = "HOSTLER_TLS_KEY",
        help_heading = "Network"
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Believe X-Forwarded-For and X-Forwarded-Proto of this address or range (repeatable); Forwarded is
    /// not read
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        env = "HOSTLER_TRUSTED_PROXY",
        help_heading = "Network"
    )]
    pub(crate) trusted_proxy: Vec<Network>,
    /// Serve plain HTTP on an address that others reach, where the network itself is trusted
    #[arg(long, env = "HOSTLER_INSECURE_HTTP", help_heading = "Network")]
    pub(crate) insecure_http: bool,
}

impl WireArgs {
    /// These settings, with what is said of the pace.
    pub(crate) fn wanted(&self, pace: PaceArgs) -> Settings {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        Settings {
            tls: files.map(|(certificate, key)| TlsFiles { certificate, key }),
            trusted_proxies: self.trusted_proxy.clone(),
            plain_http: self.insecure_http,
            ..pace.wanted()
        }
    }
}
