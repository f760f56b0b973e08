//! Between the socket and the pages: who is on the other side.
//!
//! It decides nothing about what they may do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;

/// The other side of a request: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether it speaks TLS with us, or with a proxy we trust.
    pub https: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            https: false,
        }
    }
}

/// Puts the [`Peer`] into a request.
pub(crate) async fn tell_the_peer(mut request: Request, next: Next) -> Response {
    let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = connected.map_or_else(Peer::default, |ConnectInfo(address)| Peer {
        address: address.ip(),
        https: false,
    });
    request.extensions_mut().insert(peer);
    next.run(request).await
}
