//! `hostler up` and `hostler server`: long-running processes, ended by Ctrl-C or TERM.

use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hostler_control_plane::{Config, ControlPlane};
use hostler_daemon::config::Layout;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::{ServerArgs, UpArgs, raise_files};
use crate::credentials::{self, Entry, Saved};
use crate::failure::Failure;
use crate::home;
use crate::output;
use crate::paste;
use crate::server_file;

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
    raise_files();
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
            edge: args.wire.wanted(args.pace),
            oauth: args.oauth.wanted(),
        })
        .await?;
        let key = plane.enrolment_key().await.map_err(told)?;
        introduce(&home, &plane).await?;
        output::line(
            "To enrol a machine as a host (single use, 15 minutes; `hostler hosts enrol-key` makes more):",
        )?;
        output::line(&format!(
            "  hostler join {} --key {key} && hostler daemon\n",
            plane.url()
        ))?;
        plane.serve(shutdown).await.map_err(told)
    })??;
    Ok(ExitCode::SUCCESS)
}

/// `hostler recover EMAIL`: whoever may read the server's files may let anybody in again.
pub(crate) fn recover(email: &str) -> Result<ExitCode, Failure> {
    let home = home::path()?;
    let link = block_on(hostler_control_plane::recovery_link(&home, email))?;
    let link = link.map_err(|failure| {
        let told = Failure::new(format!("{}.", failure.message));
        told.hint(
            failure
                .hint
                .unwrap_or_else(|| "Look at the server's log.".to_owned()),
        )
    })?;
    output::line(&format!(
        "Set a new password for {email} (works once, one hour): {link}"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn elsewhere(identity: &hostler_daemon::Identity) -> Failure {
    Failure::new(format!(
        "This machine is host {} of another control plane, {}.",
        identity.name, identity.url
    ))
    .hint(
        "Run `hostler daemon` to serve that one, or `hostler leave` first to be a host of its own.",
    )
}

/// Runs to the end on a small runtime: the work is waiting, not computing. Blocking work that nobody
/// waits for any more (a look for agents) does not keep the process.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::from)?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_BEHIND_LIMIT);
    Ok(result)
}

/// Log lines go to standard error; `HOSTLER_LOG` filters them (default `warn`).
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HOSTLER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Cancels the token on Ctrl-C and TERM; and on HUP where that means that the terminal was closed. A
/// service is told by HUP to read its files again, which are read when they change.
pub(crate) fn cancel_on_signal(shutdown: &CancellationToken) -> Result<(), Failure> {
    let in_terminal = std::io::stdin().is_terminal() || std::io::stderr().is_terminal();
    for (kind, ends) in [
        (SignalKind::interrupt(), true),
        (SignalKind::terminate(), true),
        (SignalKind::hangup(), in_terminal),
    ] {
        let mut signals = signal(kind)?;
        let shutdown = shutdown.clone();
        // Lives as long as the process: there is nothing to join.
        #[expect(
            clippy::disallowed_methods,
            reason = "a signal listener belongs to the whole process"
        )]
        drop(tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if ends {
                    return shutdown.cancel();
                }
                tracing::info!("HUP: changed certificates are read by themselves");
            }
        }));
    }
    Ok(())
}

async fn open(config: Config) -> Result<ControlPlane, Failure> {
    // Before anything is made: a wrong setting is told alone.
    let settings = server_file::load(&config.home)?;
    let mut plane = hostler_control_plane::open(config).await.map_err(told)?;
    if let Some(sign_on) = settings.single_sign_on {
        plane.set_single_sign_on(sign_on);
    }
    Ok(plane)
}

/// Enrols this machine if need be, over the same path as every host, then runs the daemon.
async fn run_host(
    home: std::path::PathBuf,
    url: String,
    enrolment_key: Option<String>,
    name: Option<String>,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    if let Some(key) = enrolment_key {
        hostler_daemon::enrol(&home, &url, &key, name.as_deref())
            .await
            .map_err(told)?;
    }
    hostler_daemon::run(&home, shutdown).await.map_err(told)
}

/// Waits for all parts; the first failure stops the others.
async fn finish(
    mut parts: JoinSet<Result<(), Failure>>,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let mut outcome = Ok(());
    while let Some(part) = parts.join_next().await {
        let ended = part
            .map_err(|error| Failure::new(format!("A part of hostler broke: {error}.")))
            .flatten();
        shutdown.cancel();
        if outcome.is_ok() {
            outcome = ended;
        }
    }
    outcome
}

/// Saves the commands' credentials and tells a person how to connect.
async fn introduce(home: &Path, plane: &ControlPlane) -> Result<(), Failure> {
    let (url, mcp_url) = (plane.url(), plane.mcp_url());
    let file = credentials::path(home);
    output::line(&format!(
        "hostler is up\n  Console  {url}\n  MCP URL  {mcp_url}"
    ))?;
    if let Some(link) = plane.setup_link().await.map_err(told)? {
        output::line(&format!("  Set up your sign-in (works once): {link}"))?;
    }
    let Some(key) = &key_to_show(home, plane).await? else {
        keep_address(home, plane)?;
        output::line(&format!("  API key  in {}", file.display()))?;
        return output::line("\nConfiguration of your MCP clients: hostler connect\n");
    };
    let entry = Entry {
        url: plane.url().to_owned(),
        mcp_url: mcp_url.clone(),
        server_id: Some(plane.app().server.id),
        api_key: Some(key.clone()),
        oauth: None,
    };
    credentials::change(home, |saved| saved.put_first(entry))?;
    output::line(&format!(
        "  API key  {key}\n           (shown once; the commands on this machine find it in {})\n",
        file.display()
    ))?;
    output::line(&paste::commonest(&mcp_url, key))
}

/// The key of the first start; a new one when the file that held it is gone, because the catalog
/// keeps only hashes.
async fn key_to_show(home: &Path, plane: &ControlPlane) -> Result<Option<String>, Failure> {
    if let Some(key) = plane.first_api_key() {
        return Ok(Some(key.to_owned()));
    }
    let saved = Saved::load(home)?;
    if saved.entries.iter().any(|entry| is_of(entry, plane)) {
        return Ok(None);
    }
    let issued = plane.issue_api_key("after credentials.json was lost").await;
    issued.map(Some).map_err(told)
}

/// Follows a changed port or public URL in the saved credentials.
fn keep_address(home: &Path, plane: &ControlPlane) -> Result<(), Failure> {
    let (url, mcp_url) = (plane.url(), plane.mcp_url());
    let follows = |entry: &Entry| entry.url == url && entry.mcp_url == mcp_url;
    let saved = Saved::load(home)?;
    if saved
        .entries
        .iter()
        .any(|one| is_of(one, plane) && follows(one))
    {
        return Ok(());
    }
    credentials::change(home, |saved| {
        if let Some(entry) = saved.entries.iter_mut().find(|one| is_of(one, plane)) {
            url.clone_into(&mut entry.url);
            entry.mcp_url = mcp_url;
            entry.server_id = Some(plane.app().server.id);
        }
    })
}

/// Whether an entry is of this control plane: older files held one entry, without its id.
fn is_of(entry: &Entry, plane: &ControlPlane) -> bool {
    match entry.server_id {
        Some(id) => id == plane.app().server.id,
        None => entry.api_key.is_some(),
    }
}

fn told(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}
