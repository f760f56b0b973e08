//! What a control plane is started with.
//!
//! It reads no file and no environment: the program that starts it does.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::edge;

/// Where the control plane keeps its data and where it listens.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder (`~/.hostler`); the catalog is `control-plane/catalog.db` in it.
    pub home: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base address that people and hosts use when it is not the one listened on
    /// (`https://hostler.example.com`).
    pub public_url: Option<String>,
    /// How long run logs stay in the catalog.
    pub keep_logs: KeepLogs,
    /// Connections, TLS, proxies and limits.
    pub edge: edge::Settings,
}

/// How long, and up to which size, whole run logs stay in the catalog. Runs and their outcomes stay
/// in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLogs {
    /// Days; 0 is for ever.
    pub days: u32,
    /// GiB (1,073,741,824 bytes) of all logs, packed as they are stored; beyond it the oldest go. 0
    /// is any size.
    pub gib: u32,
}

impl Default for KeepLogs {
    fn default() -> Self {
        Self { days: 90, gib: 20 }
    }
}

impl Config {
    /// Folder of the control plane's own files.
    pub fn dir(&self) -> PathBuf {
        self.home.join("control-plane")
    }
}
