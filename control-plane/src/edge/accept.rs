//! The accept loop: which connections are taken, and what becomes of each.
//!
//! One task for each connection, all of them the loop's own: when it ends, they end. A full house
//! answers 503 and takes nobody in; one address cannot fill the house alone. Reading stops at 64 KiB
//! of headers, so that memory does not depend on what is sent.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::body::{Bounded, Cut, Ending, Fate, Lent, MOST_BYTES};
use super::stream::{Phase, Phases, Watched};
use super::{Patience, Settings, Socket, Tls, headers};
use crate::clock;

/// Largest head of a request, bytes; more is 431.
const MOST_HEAD: usize = 64 << 10;

/// Most headers of a request; more is 431.
const MOST_HEADERS: usize = 100;

/// Between looks at the certificate's files.
const LOOK_AT_FILES: Duration = Duration::from_secs(2);

/// After the system could not give another connection.
const BREATH: Duration = Duration::from_millis(100);

/// First byte of a TLS handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 30\r\n\r\ntoo many connections; try soon";

const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 43\r\n\r\nthis port speaks TLS: use an https:// URL.\n";

/// A socket that is listened on, and how.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The socket.
    pub(crate) listener: TcpListener,
    /// TLS, if it is spoken.
    pub(crate) tls: Option<Tls>,
    /// How long and how many.
    pub(crate) settings: Settings,
}

/// Who is inside, by address.
#[derive(Clone, Debug)]
struct House {
    places: Arc<Semaphore>,
    guests: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_per_address: usize,
}

/// One connection's share of what its address may have.
#[derive(Debug)]
struct Share {
    house: House,
    address: IpAddr,
}

/// What every connection needs.
#[derive(Clone)]
struct Serving {
    routes: Router,
    acceptor: Option<TlsAcceptor>,
    patience: Patience,
    stopping: CancellationToken,
}

/// Serves until `stopping`, then until all connections have ended.
pub(crate) async fn serve(
    listening: Listening,
    routes: Router,
    stopping: CancellationToken,
) -> io::Result<()> {
    let Listening {
        listener,
        mut tls,
        settings,
    } = listening;
    let house = House::new(&settings);
    let mut serving = Serving {
        routes,
        acceptor: tls.as_ref().map(Tls::acceptor),
        patience: settings.patience,
        stopping: stopping.clone(),
    };
    let mut connections = JoinSet::new();
    let mut looks = interval(LOOK_AT_FILES);
    let outcome = loop {
        tokio::select! {
            () = stopping.cancelled() => break Ok(()),
            Some(_ended) = connections.join_next() => {}
            _ = looks.tick() => if let Some(tls) = &mut tls
                && tls.refresh(clock::wall())
            {
                serving.acceptor = Some(tls.acceptor());
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => match house.enter(remote.ip(), &settings) {
                    Some((permit, share)) => {
                        let serving = serving.clone();
                        connections.spawn(serving.connection(stream, remote, permit, share));
                    }
                    None => turn_away(&stream),
                },
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(BREATH).await;
                }
            },
        }
    };
    drop(listener);
    while connections.join_next().await.is_some() {}
    outcome
}

/// As much as goes at once: nobody waits for who is not let in.
fn turn_away(stream: &TcpStream) {
    if let Err(error) = stream.try_write(FULL) {
        tracing::trace!(%error, "a connection too many");
    }
}

impl House {
    fn new(settings: &Settings) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.connections)),
            guests: Arc::default(),
            most_per_address: settings.connections_per_address,
        }
    }

    /// A place in the house. A trusted proxy brings everybody's connections.
    fn enter(
        &self,
        address: IpAddr,
        settings: &Settings,
    ) -> Option<(OwnedSemaphorePermit, Option<Share>)> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let mut proxies = settings.trusted_proxies.iter();
        if proxies.any(|network| network.contains(address)) {
            return Some((permit, None));
        }
        let address = network_of(address);
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = guests.entry(address).or_default();
        if *count >= self.most_per_address {
            return None;
        }
        *count += 1;
        let house = self.clone();
        Some((permit, Some(Share { house, address })))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let guests = self.house.guests.lock();
        let mut guests = guests.unwrap_or_else(PoisonError::into_inner);
        let left = guests.get(&self.address).map_or(0, |count| count - 1);
        if left == 0 {
            guests.remove(&self.address);
        } else {
            guests.insert(self.address, left);
        }
    }
}

/// An IPv6 address stands for its /64: one client has them all.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        IpAddr::V4(address) => address.into(),
    }
}

impl Serving {
    /// One connection to its end. The permit goes with the socket, also into a websocket; the share
    /// of the address only lasts until then.
    async fn connection(
        self,
        mut stream: TcpStream,
        remote: SocketAddr,
        permit: OwnedSemaphorePermit,
        share: Option<Share>,
    ) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay");
        }
        let tls = self.acceptor.is_some();
        let socket = Socket { remote, local, tls };
        let Some(acceptor) = self.acceptor.clone() else {
            self.http(stream, socket, permit).await;
            return drop(share);
        };
        let shaking = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
                stream.write_all(NOT_TLS).await?;
                return Err(io::Error::other("no TLS"));
            }
            acceptor.accept(stream).await
        };
        match timeout(self.patience.head, shaking).await {
            Ok(Ok(stream)) => self.http(stream, socket, permit).await,
            Ok(Err(error)) => tracing::debug!(%remote, %error, "no TLS handshake"),
            Err(_) => tracing::debug!(%remote, "the TLS handshake took too long"),
        }
        drop(share);
    }

    async fn http<S>(self, stream: S, socket: Socket, permit: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let phases = Phases::default();
        let watched = Watched::new(stream, self.patience, phases.clone(), permit);
        let (routes, patience) = (self.routes, self.patience);
        let service = service_fn(move |request| {
            answer(routes.clone(), request, socket, patience, phases.clone())
        });
        let mut http = http1::Builder::new();
        // The stream's own watch also knows an idle connection from a slow head.
        http.header_read_timeout(None)
            .max_headers(MOST_HEADERS)
            .max_header_size(MOST_HEAD)
            .max_buf_size(MOST_HEAD);
        let connection = http.serve_connection(TokioIo::new(watched), service);
        let mut connection = std::pin::pin!(connection.with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(remote = %socket.remote, %error, "a connection broke off");
        }
    }
}

async fn answer(
    routes: Router,
    request: Request<Incoming>,
    socket: Socket,
    patience: Patience,
    phases: Phases,
) -> Result<Response<Ending>, Infallible> {
    phases.set(Phase::Busy);
    let fate = Fate::default();
    let response = if says_too_large(&request) {
        cut_off(Cut::TooLarge)
    } else if is_coded(&request) {
        cut_off(Cut::Coded)
    } else {
        // The rest of a body is only sent when it is asked for (RFC 9110 section 10.1.1).
        let comes_unasked = !request.headers().contains_key(header::EXPECT);
        let (head, body) = request.into_parts();
        let lent = Lent::new(Bounded::new(body, patience, fate.clone()));
        let mut request = Request::from_parts(head, Body::new(lent.clone()));
        request.extensions_mut().insert(socket);
        let answered = routes.oneshot(request).await;
        let mut answered = answered.unwrap_or_else(|never| match never {});
        let cut = fate.get();
        let goes_on = cut.is_none() && !answered.headers().contains_key(header::CONNECTION);
        if goes_on && !lent.read_out(comes_unasked).await {
            let close = HeaderValue::from_static("close");
            answered.headers_mut().insert(header::CONNECTION, close);
        }
        cut.map_or(answered, cut_off)
    };
    if response.status() == axum::http::StatusCode::SWITCHING_PROTOCOLS {
        phases.set(Phase::Upgraded);
    }
    Ok(response.map(|body| Ending::new(body, phases)))
}

fn says_too_large(request: &Request<Incoming>) -> bool {
    let said = request.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    said.is_some_and(|length| length > MOST_BYTES)
}

/// Whether the body would still be packed, in some way, once its chunks are put together.
fn is_coded(request: &Request<Incoming>) -> bool {
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn cut_off(cut: Cut) -> Response<Body> {
    let body = json!({"error": {"code": "invalid_request", "message": cut.to_string()}});
    let mut response = (cut.status(), Json(body)).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    headers::dress(response.headers_mut(), false);
    response
}
