//! From start to stop: the lock, the port, the catalog, the first organization, serving, and an
//! orderly end within five seconds.
//!
//! Nothing is written before the lock is held, and a catalog that does not fit is left untouched.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hostler_proto::ids::{OrgId, UserId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::oauth::grants;
use crate::auth::{ENROLMENT_KEY_MS, SecretKind, mint};
use crate::edge::{self, Listening, Tls, TlsError};
use crate::limits::Limits;
use crate::store::{self, Store, StoreError};
use crate::{App, Config, KeepLogs, Server, SingleSignOn, clock, config, reconcile, retention};

/// How long requests, and then background work, get to end after a stop was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// How often a lock that is held is tried again, and after how long each time.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Time between looks at what time alone settles.
const ROUND: Duration = Duration::from_secs(30);

/// Time between looks for old logs.
const RETENTION_ROUND: Duration = Duration::from_secs(60 * 60);

/// Why the control plane could not start. Nothing was damaged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be made or written.
    #[error(
        "cannot write to {path}: {source}. Make it writable for this user, or set HOSTLER_HOME to another folder"
    )]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another process uses this folder.
    #[error("another control plane{} already runs on {path}. Stop it first, or set HOSTLER_HOME to another folder", .pid.as_ref().map_or(String::new(), |pid| format!(" (process {pid})")))]
    AlreadyRunning {
        /// The folder.
        path: PathBuf,
        /// The process, as it wrote into the lock file.
        pid: Option<String>,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}. {}", listen_hint(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// Others could read what goes over the wire.
    #[error(
        "{address} would be served over plain HTTP, where others can read keys and change what is sent. Give --tls-cert and --tls-key; or, behind a proxy that speaks TLS, --public-url https://… and --trusted-proxy; or --insecure-http where the network itself is trusted"
    )]
    PlainHttp {
        /// The address.
        address: SocketAddr,
    },
    /// The public URL cannot be the server's.
    #[error(
        "{url} cannot be the public URL: it is the scheme and the name alone, like https://hostler.example.com or http://10.0.0.5:4880. Hostler takes a name of its own (or a port), not a folder of another site's"
    )]
    PublicUrl {
        /// As it was given.
        url: String,
    },
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] StoreError),
}

/// Serving ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listening socket failed.
    #[error("the control plane's listening socket failed: {0}")]
    Socket(#[source] std::io::Error),
}

/// A control plane that holds its lock, its port and its catalog.
#[derive(Debug)]
pub struct ControlPlane {
    app: App,
    listening: Listening,
    first_api_key: Option<String>,
    keep_logs: KeepLogs,
    _lock: File,
}

/// Takes the lock and the port and opens the catalog; the first start makes an organization, its
/// owner and an API key.
pub async fn open(config: Config) -> Result<ControlPlane, OpenError> {
    refuse_plain_http(&config)?;
    config.public_url.as_deref().map(origin).transpose()?;
    let files = config.edge.tls.as_ref();
    let tls = files
        .map(|files| Tls::open(files, clock::wall()))
        .transpose()?;
    let dir = config.dir();
    make_private_dir(&config.home)?;
    make_private_dir(&dir)?;
    let lock = take_lock_soon(&dir).await?;
    let listener = listen(config.listen).await?;
    let store = Store::open(&private_file(&dir.join("catalog.db"))?).await?;
    let first_api_key = first_start(&store).await?;
    let url = base_url(&config, tls.as_ref(), &listener)?;
    let server = identify(&store, url, config.oauth).await?;
    let mut app = App::new(store, server);
    app.limits = Arc::new(Limits::new(config.edge.rates));
    Ok(ControlPlane {
        app,
        listening: Listening {
            listener,
            tls,
            settings: config.edge,
        },
        first_api_key,
        keep_logs: config.keep_logs,
        _lock: lock,
    })
}

impl ControlPlane {
    /// The shared state, for what is started beside the server.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The API key made by the first start: this is the only time it can be shown.
    pub fn first_api_key(&self) -> Option<&str> {
        self.first_api_key.as_deref()
    }

    /// The socket's address.
    #[cfg(test)]
    pub(crate) fn listening_on(&self) -> SocketAddr {
        let address = self.listening.listener.local_addr();
        address.unwrap_or_else(|error| panic!("a socket without an address: {error}"))
    }

    /// Lets people sign in with this provider too.
    pub fn set_single_sign_on(&mut self, settings: SingleSignOn) {
        self.app.single_sign_on = Some(Arc::new(settings));
    }

    /// A link by which somebody becomes the owner, fresh at each call and good for 24 hours; none once
    /// an owner can sign in.
    pub async fn setup_link(&self) -> Result<Option<String>, StoreError> {
        crate::people::setup::link(&self.app.store, self.url()).await
    }

    /// Base address.
    pub fn url(&self) -> &str {
        &self.app.server.url
    }

    /// Address of the MCP server.
    pub fn mcp_url(&self) -> String {
        format!("{}/api/v2/agent/mcp", self.app.server.url)
    }

    /// A further API key of the first organization's owner.
    pub async fn issue_api_key(&self, name: &str) -> Result<String, StoreError> {
        self.issue(SecretKind::ApiKey, name, None).await
    }

    /// A single-use key that enrols one host for the first organization's owner, good for 15
    /// minutes.
    pub async fn enrolment_key(&self) -> Result<String, StoreError> {
        self.issue(
            SecretKind::EnrolmentKey,
            "host enrolment",
            Some(ENROLMENT_KEY_MS),
        )
        .await
    }

    async fn issue(
        &self,
        kind: SecretKind,
        name: &str,
        good_ms: Option<i64>,
    ) -> Result<String, StoreError> {
        let store = &self.app.store;
        let owner = store::members::first_owner(store).await?;
        let (org, member) = owner.ok_or_else(|| {
            StoreError::unreadable("first organization")("the catalog has no owner")
        })?;
        let (secret, token) = mint(kind, name, org, member.user_id, good_ms);
        let mut tx = store.begin().await?;
        store::tokens::insert(&mut tx, &token).await?;
        store.commit(tx).await?;
        Ok(secret.expose().to_owned())
    }

    /// Serves until `shutdown`, then ends within five seconds.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self {
            app,
            listening,
            keep_logs,
            _lock,
            ..
        } = self;
        let stopping = app.shutdown.clone();
        app.in_background(rounds(app.clone()));
        app.in_background(retention_rounds(app.clone(), keep_logs));
        let routes = edge::guarded(router(&app), &app, &listening.settings.trusted_proxies);
        let serving = edge::serve(listening, routes, stopping.clone());
        let deadline = async {
            shutdown.cancelled().await;
            stopping.cancel();
            tokio::time::sleep(GRACE).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = deadline => Ok(()),
        };
        stopping.cancel();
        app.background.close();
        if tokio::time::timeout(GRACE, app.background.wait())
            .await
            .is_err()
        {
            tracing::warn!("background work did not end in time");
        }
        app.store.close().await;
        served.map_err(ServeError::Socket)
    }
}

/// What time alone settles, looked at again and again.
async fn rounds(app: App) {
    loop {
        tokio::time::sleep(ROUND).await;
        if let Err(failure) = reconcile::round(&app, clock::wall()).await {
            tracing::error!(%failure, "a round of reconciling");
        }
    }
}

/// Old logs, and what OAuth clients left, go at the start and now and then.
async fn retention_rounds(app: App, keep: KeepLogs) {
    loop {
        if let Err(error) = grants::forget_old(&app, clock::wall()).await {
            tracing::error!(%error, "what OAuth clients left cannot be forgotten");
        }
        match retention::round(&app, keep, clock::wall()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old logs were deleted"),
            Err(failure) => tracing::error!(%failure, "old logs cannot be deleted"),
        }
        tokio::time::sleep(RETENTION_ROUND).await;
    }
}

pub(crate) fn router(app: &App) -> Router {
    let health = Router::new().route("/healthz", get(async || "ok"));
    health
        .with_state(app.clone())
        .merge(crate::hosts::router(app))
        .merge(crate::auth::oauth::router(app))
        .merge(crate::mcp::router(app))
        .merge(crate::whoami::router(app))
        .merge(crate::api::router(app))
        .merge(crate::console::router(app))
}

fn make_private_dir(path: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| OpenError::Folder {
        path: path.to_owned(),
        source,
    })
}

/// The file, made 0600 if it is new; refused if it cannot be written.
fn private_file(path: &Path) -> Result<PathBuf, OpenError> {
    open_private(path)?;
    Ok(path.to_owned())
}

fn open_private(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::Folder {
            path: path.to_owned(),
            source,
        })
}

/// The lock; a process that was killed holds its own for the moment that it takes to go.
async fn take_lock_soon(dir: &Path) -> Result<File, OpenError> {
    for _ in 0..LOCK_TRIES {
        match take_lock(dir) {
            Err(OpenError::AlreadyRunning { .. }) => tokio::time::sleep(LOCK_PAUSE).await,
            taken => return taken,
        }
    }
    take_lock(dir)
}

/// The lock of one control plane per folder; it ends with the process, however that ends.
fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let mut file = open_private(&path)?;
    let failed = |source| OpenError::Folder {
        path: path.clone(),
        source,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(failed)?;
            let pid = pid.trim();
            return Err(OpenError::AlreadyRunning {
                path: dir.to_owned(),
                pid: (!pid.is_empty()).then(|| pid.to_owned()),
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| OpenError::Listen { address, source })
}

fn listen_hint(source: &std::io::Error) -> &'static str {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        "Another program has that port: stop it, or choose another with --port"
    } else {
        "Choose another address or port with --port"
    }
}

/// Makes the first organization, its owner and an API key, unless there is one.
async fn first_start(store: &Store) -> Result<Option<String>, StoreError> {
    if store::members::first_owner(store).await?.is_some() {
        return Ok(None);
    }
    let now = clock::wall();
    let org = OrgId::fresh(now, &clock::id_entropy());
    let user = UserId::fresh(now, &clock::id_entropy());
    let (secret, token) = mint(SecretKind::ApiKey, "first key", org, user, None);
    let mut tx = store.begin().await?;
    store::members::insert_org(&mut tx, org, "Home", now).await?;
    store::members::insert_user(&mut tx, user, "owner@localhost", "Owner", now).await?;
    store::members::insert_member(&mut tx, org, user, "owner", now).await?;
    store::tokens::insert(&mut tx, &token).await?;
    store.commit(tx).await?;
    Ok(Some(secret.expose().to_owned()))
}

/// The catalog's identity (made once) and this start's number; whoever was connected to the last
/// server is not connected to this one.
async fn identify(store: &Store, url: String, oauth: config::OAuth) -> Result<Server, OpenError> {
    let known = store::meta::get(store, "server_id").await?;
    let id = match known {
        Some(text) => text
            .parse::<Uuid>()
            .map_err(StoreError::unreadable("server id"))?,
        None => hostler_proto::ids::uuid_v7(clock::wall(), &clock::id_entropy()),
    };
    let epoch = store::meta::get(store, "epoch")
        .await?
        .map_or(Ok(0), |text| text.parse::<u64>())
        .map_err(StoreError::unreadable("epoch"))?
        + 1;
    let mut tx = store.begin().await?;
    store::meta::set(&mut tx, "server_id", &id.to_string()).await?;
    store::meta::set(&mut tx, "epoch", &epoch.to_string()).await?;
    store::meta::set(&mut tx, "url", &url).await?;
    store::hosts::reset_presence(&mut tx).await?;
    store.commit(tx).await?;
    Ok(Server {
        id,
        epoch,
        url,
        oauth,
    })
}

/// Refuses what others on the network could read, unless it was asked for.
fn refuse_plain_http(config: &Config) -> Result<(), OpenError> {
    let address = config.listen;
    let public = config.public_url.as_deref();
    let safe = address.ip().is_loopback()
        || config.edge.tls.is_some()
        || config.edge.plain_http
        || public.is_some_and(|url| url.starts_with("https://"));
    if safe {
        Ok(())
    } else {
        Err(OpenError::PlainHttp { address })
    }
}

/// A public URL that names a server and nothing in it: links, cookies and OAuth metadata stand at the
/// root of its name.
fn origin(url: &str) -> Result<url::Url, OpenError> {
    let refused = || OpenError::PublicUrl {
        url: url.to_owned(),
    };
    let parsed = url::Url::parse(url.trim_end_matches('/')).map_err(|_error| refused())?;
    let bare = parsed.path() == "/"
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.username().is_empty()
        && parsed.password().is_none();
    if matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some() && bare {
        return Ok(parsed);
    }
    Err(refused())
}

/// The address that people and hosts use; with TLS, one that the certificate is for.
fn base_url(
    config: &Config,
    tls: Option<&Tls>,
    listener: &TcpListener,
) -> Result<String, OpenError> {
    let mut address = listener.local_addr().map_err(|source| OpenError::Listen {
        address: config.listen,
        source,
    })?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    match (&config.public_url, tls) {
        (Some(url), tls) => {
            let parsed = origin(url)?;
            // A proxy in front has a certificate of its own.
            if let (Some(name), Some(tls), []) =
                (parsed.host_str(), tls, &*config.edge.trusted_proxies)
            {
                tls.is_for(name)?;
            }
            Ok(parsed.origin().ascii_serialization())
        }
        (None, None) => Ok(format!("http://{address}")),
        (None, Some(tls)) => {
            let number = address.ip().to_string();
            if tls.is_for(&number).is_ok() {
                return Ok(format!("https://{address}"));
            }
            tls.is_for("localhost")?;
            Ok(format!("https://localhost:{}", address.port()))
        }
    }
}
