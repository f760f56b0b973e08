//! The host's SQLite database: the truth about projects, workspaces, plans, runs and what is still
//! to be delivered. One file per noun; each write that others must hear of appends its event to the
//! outbox in the same transaction.
//!
//! It takes no decisions and asks no clock.

pub mod automations;
pub mod commands;
pub mod meta;
pub mod occurrences;
pub mod outbox;
pub mod projects;
pub mod runs;
pub mod workspaces;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite};

/// Most connections for reading.
const READERS: u32 = 3;

/// A write transaction (`BEGIN IMMEDIATE`).
pub type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused or failed.
    #[error("the host database {operation}: {source}")]
    Sqlite {
        /// What was being done.
        operation: &'static str,
        /// SQLite's words.
        source: sqlx::Error,
    },
    /// The file cannot be opened, is not a database, or is damaged.
    #[error(
        "the host database {path} cannot be opened: {source}. Restore it from a backup or move it away to start anew"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: sqlx::Error,
    },
    /// The file was written by a newer program, or its history does not match.
    #[error(
        "the host database {path} does not fit this program: {source}. Install the newer hostler that wrote it"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// What did not match.
        source: sqlx::migrate::MigrateError,
    },
    /// A row holds text this program cannot read.
    #[error("the host database holds a {what} that cannot be read: {source}")]
    Corrupt {
        /// What kind of row.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Wraps SQLite's error with the operation that met it.
    pub(crate) fn at(operation: &'static str) -> impl Fn(sqlx::Error) -> Self + Copy {
        move |source| Self::Sqlite { operation, source }
    }

    /// Wraps a row that cannot be read.
    pub(crate) fn corrupt<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Corrupt {
            what,
            source: Box::new(source),
        }
    }
}

/// The database, shared by handle.
#[derive(Clone)]
pub struct Store {
    readers: SqlitePool,
    /// The one connection that writes. Writers wait here, where the next one is woken at once;
    /// within SQLite they would sleep and try again.
    writer: SqlitePool,
    on_commit: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens (or creates) the database at `path` and brings its schema up to date. `on_commit` is
    /// called after each commit of a write transaction: there may be new events to deliver.
    pub async fn open(
        path: &Path,
        on_commit: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let open = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let writer = pool(1, options.clone()).await.map_err(open)?;
        sqlx::migrate!("./migrations")
            .run(&writer)
            .await
            .map_err(|source| StoreError::Schema {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            readers: pool(READERS, options).await.map_err(open)?,
            writer,
            on_commit: Arc::new(on_commit),
        })
    }

    /// Starts a write transaction; waits its turn behind other writers. It rolls back when dropped.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(StoreError::at("begins a transaction"))
    }

    /// Commits: only after this may anything be said or done about it.
    pub async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        tx.commit().await.map_err(StoreError::at("commits"))?;
        (self.on_commit)();
        Ok(())
    }

    /// Closes the database, writing the log back into it.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.readers
    }

    /// The same for what would only be found out again: it survives the death of any process, and
    /// does not wait for the disk. A power cut may undo it, never a part of it or out of order.
    pub(crate) async fn relaxed(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        let mut connection = self.writer.acquire().await?;
        // Until it is acquired again, see `pool`.
        sqlx::query("PRAGMA synchronous = NORMAL")
            .execute(&mut *connection)
            .await?;
        Ok(connection)
    }

    /// For a single statement that writes. Never while a transaction of one's own is open.
    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }
}

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        // A connection to a file does not go away by itself.
        .test_before_acquire(false)
        // On a full or failing disk SQLite ends a transaction by itself, which leaves the driver
        // believing in one: such a connection would refuse every later transaction.
        .before_acquire(|connection, _| {
            Box::pin(async move {
                if connection.is_in_transaction() {
                    return Ok(false);
                }
                // What is acquired waits for the disk, whatever it was used for before.
                let durable = sqlx::query("PRAGMA synchronous = FULL");
                Ok(durable.execute(connection).await.is_ok())
            })
        })
        .connect_with(options)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_does_not_end_all_writing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("host.db"), || ())
            .await
            .unwrap();
        for _ in 0..8 {
            let mut tx = store.begin().await.unwrap();
            // What SQLite does when the disk is full.
            sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
            assert!(store.commit(tx).await.is_err());
        }
        let tx = store.begin().await.unwrap();
        store.commit(tx).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_relaxed_stays_so_for_one_statement() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("host.db"), || ())
            .await
            .unwrap();
        let ask = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
        let mut relaxed = store.relaxed().await.unwrap();
        assert_eq!(ask.fetch_one(&mut *relaxed).await.unwrap(), 1);
        drop(relaxed);
        let mut tx = store.begin().await.unwrap();
        let ask = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
        assert_eq!(ask.fetch_one(&mut *tx).await.unwrap(), 2, "FULL");
    }
}
