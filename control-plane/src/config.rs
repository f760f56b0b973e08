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
    /// What OAuth clients get.
    pub oauth: OAuth,
}

/// How long OAuth tokens live, and what is for development alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// An access token's life, milliseconds.
    pub access_ms: i64,
    /// How long a refresh token that nobody uses lives, milliseconds.
    pub refresh_ms: i64,
    /// For so long after its use a refresh token is taken once more: two of a client's processes
    /// may refresh at once. Milliseconds.
    pub grace_ms: i64,
    /// Takes clients that are known by a document on their makers' servers. A server that cannot
    /// reach those must not offer it: clients then register instead.
    pub documents: bool,
    /// Also takes client metadata documents from this machine, there over http too. Never on a
    /// server that others reach: they could make it ask what only it can reach.
    pub loopback_documents: bool,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            access_ms: 60 * 60_000,
            refresh_ms: 30 * 24 * 60 * 60_000,
            grace_ms: 10_000,
            documents: true,
            loopback_documents: false,
        }
    }
}

/// Signing in with an OpenID Connect provider.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleSignOn {
    /// The provider's issuer URL, exactly as it calls itself.
    pub issuer: String,
    /// The client that this server is registered as; its redirect URI is `URL/oidc/callback`.
    pub client_id: String,
    /// Its secret; none for a public client. The file names another file that holds it.
    #[serde(skip)]
    pub client_secret: Option<String>,
    /// The file that holds the client's secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for beside `openid`.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// What the button calls the provider.
    #[serde(default = "usual_label")]
    pub label: String,
    /// Takes an email as verified when the provider says nothing about it: for one whose addresses
    /// are all given by its own organization. What it says is not verified never counts.
    #[serde(default)]
    pub emails_are_verified: bool,
    /// Whoever has a verified email of these domains joins the server's first organization as a
    /// member; everybody else needs an invitation.
    #[serde(default)]
    pub auto_join_domains: Vec<String>,
}

fn usual_scopes() -> Vec<String> {
    ["email", "profile"].map(str::to_owned).to_vec()
}

fn usual_label() -> String {
    "single sign-on".to_owned()
}

/// All but the secret.
impl std::fmt::Debug for SingleSignOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleSignOn")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
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
