//! The catalog's database: SQLite now, in SQL that PostgreSQL takes too. One file per noun.
//!
//! Reads take the [`Store`]; writes take a [`Tx`], so that what belongs together commits together.
//! A write transaction holds the one writing connection from its start (`BEGIN IMMEDIATE`), so it
//! never fails half-way for another writer. The store takes no decisions and asks no clock.

pub mod audit;
pub mod automations;
pub mod browsers;
pub mod changes;
pub mod clients;
pub mod commands;
pub mod devices;
pub mod grants;
pub mod hosts;
pub mod identities;
pub mod links;
pub mod logs;
pub mod members;
pub mod meta;
pub mod passwords;
pub mod projects;
mod row;
pub mod runs;
pub mod sessions;
pub mod tasks;
pub mod tokens;
pub mod whoami;
pub mod workspaces;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hostler_proto::error::{ErrorCode, Failure};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Executor as _};

/// A write transaction. It rolls back when dropped.
pub type Tx = sqlx::Transaction<'static, sqlx::Any>;

/// Connections for reading.
const READERS: u32 = 4;

/// Each connection's settings. `busy_timeout` is in milliseconds; FULL, because an
/// acknowledgement makes the host forget what it sent: a commit must outlive the machine.
const SETTINGS: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";

/// What can go wrong with the catalog.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed.
    #[error("the catalog {operation}: {source}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// The database's words.
        source: sqlx::Error,
    },
    /// The file cannot be opened, is not a database, or is damaged.
    #[error(
        "the catalog {path} cannot be opened: {source}. Nothing was changed: restore the file from a backup, or move it away to start anew"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// The database's words.
        source: sqlx::Error,
    },
    /// The file was written by a newer program, or its history does not match.
    #[error(
        "the catalog {path} does not fit this program ({source}). Nothing was changed: start the newer hostler that wrote it"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// What did not match.
        source: sqlx::migrate::MigrateError,
    },
    /// A row holds text this program cannot read.
    #[error("the catalog holds a {what} that cannot be read: {source}")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Wraps the database's error with the operation that met it.
    pub(crate) fn at(operation: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { operation, source }
    }

    /// Wraps a value that cannot be read or written.
    pub(crate) fn unreadable<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Unreadable {
            what,
            source: source.into(),
        }
    }

    /// Whether there is no room left where the catalog lies (SQLITE_FULL, 13).
    fn is_full(&self) -> bool {
        match self {
            Self::Database { source, .. } => source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == "13"),
            Self::Open { .. } | Self::Schema { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// Whether a unique index refused the write.
    pub fn is_duplicate(&self) -> bool {
        match self {
            Self::Database { source, .. } => source
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_unique_violation),
            Self::Open { .. } | Self::Schema { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// What a user is told when the catalog fails: no SQL, and that trying again is right.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "catalog");
        let (message, hint) = if error.is_full() {
            (
                "the control plane's disk is full; nothing was changed",
                "make room where its data folder lies, then try again",
            )
        } else {
            (
                "the control plane's catalog failed",
                "try again; if it goes on, look at the control plane's log",
            )
        };
        Self::new(ErrorCode::HostError, message)
            .hint(hint)
            .detail(error.to_string())
    }
}

/// The catalog, shared by handle.
#[derive(Clone, Debug)]
pub struct Store {
    readers: AnyPool,
    writer: AnyPool,
    /// The last transaction found no room on the disk.
    full: Arc<AtomicBool>,
}

impl Store {
    /// Opens (or creates) the catalog at `path` and brings its schema up to date. A file that does
    /// not fit is left as it is.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let open = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        check(path).await.map_err(open)?;
        let writer = pool(path, 1).await.map_err(open)?;
        sqlx::migrate!("./migrations")
            .run(&writer)
            .await
            .map_err(|source| misfit(path, source))?;
        let readers = pool(path, READERS).await.map_err(open)?;
        Ok(Self::over(readers, writer))
    }

    /// Opens a catalog that a server may be using, without changing its schema: refused unless it is
    /// the one of this program.
    pub async fn open_beside(path: &Path) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let open = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let writer = pool(path, 1).await.map_err(open)?;
        let row = sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations")
            .fetch_one(&writer)
            .await
            .map_err(open)?;
        let found = row::Columns::of("schema", &row).number("version")?;
        let wanted = sqlx::migrate!("./migrations")
            .iter()
            .map(|step| step.version)
            .max();
        if Some(found) != wanted {
            let words = "it is of another version: start the server with this program first";
            return Err(open(sqlx::Error::Protocol(words.to_owned())));
        }
        let readers = pool(path, 1).await.map_err(open)?;
        Ok(Self::over(readers, writer))
    }

    fn over(readers: AnyPool, writer: AnyPool) -> Self {
        Self {
            readers,
            writer,
            full: Arc::default(),
        }
    }

    /// Starts a write transaction; waits its turn behind other writers.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(StoreError::at("begins a transaction"))
    }

    /// Starts a transaction for reading several things as they were at one moment.
    pub async fn snapshot(&self) -> Result<Tx, StoreError> {
        self.readers
            .begin()
            .await
            .map_err(StoreError::at("begins a snapshot"))
    }

    /// Commits: only after this may anything be said or done about it.
    pub async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        self.noted(tx.commit().await.map_err(StoreError::at("commits")))
    }

    /// Whether there was no room on the disk for the last transaction.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn noted(&self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        let full = done.as_ref().is_err_and(StoreError::is_full);
        self.full.store(full, Ordering::Relaxed);
        done
    }

    /// Closes the database, writing the log back into it.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn reader(&self) -> &AnyPool {
        &self.readers
    }
}

/// Largest catalog that is read through when it is opened, bytes: about a tenth of a second.
const CHECKED_SIZE: u64 = 32 << 20;

/// Notices damage before anything is written, on a connection of its own: a pool would try again
/// and again. A large catalog shows damage when it is read.
async fn check(path: &Path) -> Result<(), sqlx::Error> {
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    let mut connection = options(path)?.connect().await?;
    connection.execute(SETTINGS).await?;
    let row = if size > CHECKED_SIZE {
        None
    } else {
        Some(connection.fetch_one("PRAGMA quick_check(1)").await?)
    };
    connection.close().await?;
    let verdict = row.map_or(Ok("ok".to_owned()), |row| sqlx::Row::try_get(&row, 0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!("it is damaged: {verdict}")))
}

/// A schema error, or a damaged file that showed itself only while migrating.
fn misfit(path: &Path, source: sqlx::migrate::MigrateError) -> StoreError {
    let path = path.to_owned();
    if let sqlx::migrate::MigrateError::Execute(source) = source {
        StoreError::Open { path, source }
    } else {
        StoreError::Schema { path, source }
    }
}

async fn pool(path: &Path, connections: u32) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .test_before_acquire(false)
        // On a full or failing disk SQLite ends a transaction by itself, which leaves the driver
        // believing in one: such a connection would refuse every later transaction.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SETTINGS).await?;
                Ok(())
            })
        })
        .connect_with(options(path)?)
        .await
}

fn options(path: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let options = database_url(path).parse::<AnyConnectOptions>()?;
    Ok(options.disable_statement_logging())
}

/// `sqlite://` and the path, with every byte escaped that a URL could take for something else.
fn database_url(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut url = String::from("sqlite://");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            url.push(char::from(*byte));
        } else {
            write!(url, "%{byte:02X}").unwrap_or_default();
        }
    }
    url + "?mode=rwc"
}

/// Makes the catalog look as if a newer program had migrated it.
#[cfg(test)]
pub(crate) async fn claim_newer_schema(store: &Store) {
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'newer', TRUE, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .expect("the migrations table takes a row");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_does_not_end_all_writing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("catalog.db")).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        // What SQLite does when the disk is full.
        sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
        assert!(store.commit(tx).await.is_err());
        let tx = store.begin().await.unwrap();
        store.commit(tx).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_called_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("catalog.db")).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        // The same answer as of a volume without room: at most the pages there are.
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(&mut *tx)
            .await
            .unwrap();
        let much = "x".repeat(1 << 20);
        let refused = meta::set(&mut tx, "much", &much).await.unwrap_err();
        drop(tx);
        assert!(!store.is_full());
        let refused = store.noted(Err(refused)).unwrap_err();
        assert!(store.is_full());
        let failure = Failure::from(refused);
        assert!(failure.message.contains("disk is full"), "{failure:?}");
        // Until something is stored again.
        let tx = store.begin().await.unwrap();
        store.commit(tx).await.unwrap();
        assert!(!store.is_full());
    }
}
