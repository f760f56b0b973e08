//! What a control plane is started with.
//!
//! It reads no file and no environment: the program that starts it does.

use std::net::SocketAddr;
use std::path::PathBuf;

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
}

impl Config {
    /// Folder of the control plane's own files.
    pub fn dir(&self) -> PathBuf {
        self.home.join("control-plane")
    }
}
