//! Between the sockets and the handlers: connections and their limits, TLS, who is on the other
//! side, and what no request may do whatever it asks for.
//!
//! A connection is bounded in time and memory before anything of ours sees it ([`accept`],
//! [`stream`], [`body`]); a request is judged by its names, its address and its pace, and its answer
//! dressed ([`guard`]). What somebody may see or change is decided elsewhere.

mod accept;
mod body;
mod certificate;
mod guard;
mod headers;
mod names;
mod proxy;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use accept::{Listening, serve};
pub(crate) use guard::guarded;
pub(crate) use names::came_from_elsewhere;
pub use proxy::Network;
pub(crate) use tls::Tls;
pub use tls::TlsError;

use crate::limits::Rates;

/// How the edge behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TLS by these files; none is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Plain HTTP also where others could read it.
    pub plain_http: bool,
    /// How often what may be done.
    pub rates: Rates,
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address (a host's link does not count once it is open).
    pub connections_per_address: usize,
    /// What the other side gets to be ready in.
    pub patience: Patience,
}

/// Files of a certificate in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How long the other side of a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the TLS handshake, and for a request's line and headers, each as a whole.
    pub head: Duration,
    /// For the next request on an open connection.
    pub idle: Duration,
    /// For the next part of a request's body.
    pub body_part: Duration,
    /// For a request's whole body.
    pub body: Duration,
    /// For a reader to take anything at all of an answer.
    pub write: Duration,
}

/// The other side of a request: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, as far as the proxies in between are trusted.
    pub address: IpAddr,
    /// Whether it speaks TLS with us, or with a proxy we trust.
    pub https: bool,
}

/// The socket a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    remote: SocketAddr,
    local: SocketAddr,
    tls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            trusted_proxies: Vec::new(),
            plain_http: false,
            rates: Rates::default(),
            connections: 4_096,
            connections_per_address: 512,
            patience: Patience::default(),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_part: Duration::from_secs(20),
            body: Duration::from_secs(120),
            write: Duration::from_secs(60),
        }
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            https: false,
        }
    }
}
