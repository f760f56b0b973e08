//! `hostler up` and `hostler server`: long-running processes, ended by Ctrl-C or TERM.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hostler_control_plane::{Config, ControlPlane, connect};
use hostler_daemon::config::Layout;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::{ServerArgs, UpArgs};
use crate::credentials::{self, Entry, Saved};
use crate::failure::Failure;
use crate::home;
use crate::output;
use crate::paste;

/// How long blocking work may go on after everything else has ended.
const LEFT_BEHIND_LIMIT: Duration = Duration::from_millis(200);

pub(crate) fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    let home = home::ensure()?;
    log_to_stderr();
    // Before anything is made or said: a wrong setting is told alone.
    hostler_daemon::config::Config::load(&Layout::new(&home)).map_err(told)?;
    block_on(async {
        let shutdown = CancellationToken::new();
        cancel_on_signal(&shutdown)?;
        let config = Config {
            home: home.clone(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
            public_url: None,
            keep_logs: args.keep.wanted(),
            edge: args.pace.wanted(),
            oauth: args.oauth.wanted(),
        };
        let plane = open(config).await?;
        let url = plane.url().to_owned();
        let enrolment_key = match hostler_daemon::identity(&home).map_err(told)? {
            None => Some(plane.enrolment_key().await.map_err(told)?),
            Some(identity) if identity.server_id == plane.app().server.id => {
                hostler_daemon::moved(&home, &url).map_err(told)?;
                None
            }
            Some(identity) => return Err(elsewhere(&identity)),
        };
        introduce(&home, &plane).await?;
        let mut parts = JoinSet::new();
        let server = shutdown.clone();
        parts.spawn(async move { plane.serve(server).await.map_err(told) });
        parts.spawn(run_host(
            home,
            url,
            enrolment_key,
            args.host_name.clone(),
            shutdown.clone(),
        ));
        finish(parts, &shutdown).await
    })??;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn server(args: &ServerArgs) -> Result<ExitCode, Failure> {
    let home = home::ensure()?;
    log_to_stderr();
    block_on(async {
        let shutdown = CancellationToken::new();
        cancel_on_signal(&shutdown)?;
        let listen = args
            .listen
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)));
        let plane = open(Config {
            home: home.clone(),
            listen,
            public_url: args.public_url.clone(),
            keep_logs: args.keep.wanted(),
            oauth: args.oauth.wanted(),
            edge: args.wire.wanted(args.pace),
