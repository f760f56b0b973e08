//! The control plane: the catalog of what an organization has, the MCP server over it, and the
//! links to its hosts.
//!
//! [`open`] takes the port, the lock and the catalog; [`ControlPlane::serve`] serves until told to
//! stop. Domain operations are functions of an [`App`], a caller and their input; they are the same
//! for every way in.

mod api;
pub mod audit;
pub mod auth;
pub mod automations;
mod clock;
pub mod config;
pub mod connect;
mod console;
pub mod edge;
pub mod fetch;
pub mod history;
pub mod hosts;
pub mod hosts_catalog;
pub mod ingest;
pub mod keys;
mod lifecycle;
pub mod limits;
mod mcp;
pub mod names;
pub mod patch;
pub mod people;
pub mod projects;
pub mod reconcile;
pub mod retention;
pub mod runs;
pub mod store;
pub mod tasks;
mod whoami;
pub mod workspaces;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::CommandId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use config::{Config, KeepLogs, SingleSignOn};
pub use lifecycle::{ControlPlane, OpenError, ServeError, open};
pub use people::recovery::on_this_machine as recovery_link;

use hosts::Hosts;
use store::Store;

/// What every operation works with; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The catalog.
    pub store: Store,
    /// The live links.
    pub hosts: Arc<Hosts>,
    /// Who this server is.
    pub server: Arc<Server>,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
    /// How often what may be done.
    pub limits: Arc<limits::Limits>,
    /// Where people sign in beside their passwords, when that is configured.
    pub single_sign_on: Option<Arc<config::SingleSignOn>>,
    /// Where passwords are hashed.
    pub passwords: Arc<auth::Passwords>,
    /// Commands being asked now: nobody asks the same one twice at once.
    pub(crate) asking: Arc<Mutex<BTreeSet<CommandId>>>,
    /// The live logs that people have open.
    pub(crate) streams: Arc<console::Streams>,
    /// Repositories whose registration a form no longer waits for.
    pub(crate) clones: Arc<console::Clones>,
    background: TaskTracker,
}

/// This server's identity and addresses.
#[derive(Clone, Debug)]
pub struct Server {
    /// Identity of the catalog; hosts sign it when they connect.
    pub id: Uuid,
    /// Counts the starts of this catalog's server: presence of an older epoch is void.
    pub epoch: u64,
    /// Base address that people and hosts use, without a slash at the end.
    pub url: String,
    /// What OAuth clients get.
    pub oauth: config::OAuth,
}

impl App {
    pub(crate) fn new(store: Store, server: Server) -> Self {
        Self {
            store,
            hosts: Arc::new(Hosts::default()),
            server: Arc::new(server),
            shutdown: CancellationToken::new(),
            limits: Arc::default(),
            single_sign_on: None,
            passwords: Arc::default(),
            asking: Arc::default(),
            streams: Arc::default(),
            clones: Arc::default(),
            background: TaskTracker::new(),
        }
    }

    /// Does something to its end although its caller may stop waiting for it.
    pub(crate) async fn to_the_end<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        match self.background.spawn(work).await {
            Ok(done) => done,
            Err(stopped) => Err(Failure::new(
                ErrorCode::Timeout,
                "the control plane stopped before this was answered",
            )
            .hint("it goes on by itself; list again in a moment")
            .detail(stopped.to_string())),
        }
    }

    /// Runs something that must not hold its caller up. It ends by itself or is dropped when the
    /// server stops, so whatever it does has to be resumable from the catalog.
    pub(crate) fn in_background<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.background.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = work => {}
            }
        });
    }
}
