//! A small HTTP client for what the control plane has to ask others: client metadata documents and
//! sign-in providers.
//!
//! One request, one connection, one answer of limited size within a limited time. Redirects are
//! never followed. A name is resolved once: the addresses are checked, and the connection goes to
//! one that was checked, so a name that resolves to something else a moment later gains nothing. It
//! keeps no connections, no cookies and no cache, and knows nothing of what it carries.

mod filter;
mod task;

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::http::{Request, Response, Uri};
use url::{Host, Url};

use filter::is_public;

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses over https: for an address that a stranger chose.
    Public,
    /// The same, and this machine, there without TLS too: for development.
    PublicOrLoopback,
    /// Any address, http or https: for an address that this server's operator configured.
    Anywhere,
}

/// What a request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Where it may go.
    pub reach: Reach,
    /// Most bytes of the answer's body.
    pub most_bytes: usize,
    /// For the name, the connection and TLS.
    pub reached_within: Duration,
    /// For everything from the name to the last byte.
    pub within: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no address in it.
    #[error("this is no URL: {0}")]
    NoUrl(#[source] url::ParseError),
    /// The address cannot be used.
    #[error("{0}")]
    Address(&'static str),
    /// The path cannot be sent.
    #[error("the URL's path cannot be sent: {0}")]
    Path(#[source] axum::http::uri::InvalidUri),
    /// The name leads only to addresses that may not be reached.
    #[error("{0} is not a public address")]
    NotPublic(String),
    /// Name, connection, TLS.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        /// Name or address.
        host: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The connection broke off or spoke something else than HTTP.
    #[error("{host} gave no proper answer: {words}")]
    Broken {
        /// Name or address.
        host: String,
        /// What went wrong.
        words: String,
    },
    /// The body is longer than what is read.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// It took too long.
    #[error("there was no answer within {} s", .0.as_secs())]
    TooSlow(Duration),
}

/// Sends a request to its absolute address and reads the whole answer, whatever its status.
pub async fn send(
    request: Request<Vec<u8>>,
    limits: Limits,
) -> Result<Response<Vec<u8>>, FetchError> {
    let target = Target::of(request.uri(), limits.reach)?;
    task::exchange(target, request, limits).await
}

/// A checked address: nothing else is taken from the request's own.
#[derive(Debug)]
struct Target {
    tls: bool,
    host: Host,
    port: u16,
    /// Path and query.
    path: Uri,
    /// Value of the `Host` header.
    authority: String,
    reach: Reach,
}

impl Target {
    fn of(uri: &Uri, reach: Reach) -> Result<Self, FetchError> {
        let url = Url::parse(&uri.to_string()).map_err(FetchError::NoUrl)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" if reach != Reach::Public => false,
            _ => return Err(FetchError::Address("the URL must begin with https://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Address("the URL must not hold credentials"));
        }
        let host = url.host().ok_or(FetchError::Address("no host"))?.to_owned();
        if !tls && reach == Reach::PublicOrLoopback && !is_loopback(&host) {
            return Err(FetchError::Address(
                "http:// is taken for this machine only",
            ));
        }
        let port = url.port_or_known_default();
        let path = url[url::Position::BeforePath..url::Position::AfterQuery].parse();
        Ok(Self {
            tls,
            port: port.ok_or(FetchError::Address("no port"))?,
            path: path.map_err(FetchError::Path)?,
            authority: url[url::Position::BeforeHost..url::Position::AfterPort].to_owned(),
            host,
            reach,
        })
    }

    fn allows(&self, address: std::net::IpAddr) -> bool {
        match self.reach {
            Reach::Public => is_public(address),
            Reach::PublicOrLoopback if self.tls => is_public(address) || address.is_loopback(),
            Reach::PublicOrLoopback => address.is_loopback(),
            Reach::Anywhere => true,
        }
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}
