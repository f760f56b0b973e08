//! The connection of one fetch: name, socket, TLS, request, answer, all within one deadline,
//! the first three within a shorter one.
//!
//! The deadline covers every step, and dropping the future closes the connection. What may be
//! reached was decided by the [`Target`]; this asks it for each address a name leads to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Request, Response};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Host;

use super::{FetchError, Limits, Target};
use crate::clock;

/// Most bytes of the answer's head.
const MOST_HEAD_BYTES: usize = 16 << 10;

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(super) async fn exchange(
    target: Target,
    request: Request<Vec<u8>>,
    limits: Limits,
) -> Result<Response<Vec<u8>>, FetchError> {
    let begun = Instant::from_std(clock::monotonic());
    let until = begun + limits.within;
    let no_sign = |_| {
        let source = io::Error::from(io::ErrorKind::TimedOut);
        Err(unreachable(&target, source))
    };
    let reached_until = begun + limits.reached_within.min(limits.within);
    let connected = timeout_at(reached_until, connect(&target)).await;
    let stream = connected.unwrap_or_else(no_sign)?;
    timeout_at(until, ask(&target, stream, request, limits.most_bytes))
        .await
        .unwrap_or(Err(FetchError::TooSlow(limits.within)))
}

async fn connect(target: &Target) -> Result<Box<dyn Stream>, FetchError> {
    let unreachable = |source| unreachable(target, source);
    let addresses = resolve(target).await.map_err(unreachable)?;
    let mut allowed = addresses
        .filter(|address| target.allows(*address))
        .peekable();
    if allowed.peek().is_none() {
        return Err(FetchError::NotPublic(target.host.to_string()));
    }
    let mut last = None;
    for address in allowed {
        match TcpStream::connect(SocketAddr::new(address, target.port)).await {
            Ok(stream) => return secured(target, stream).await.map_err(unreachable),
            Err(error) => last = Some(error),
        }
    }
    Err(unreachable(last.unwrap_or_else(|| {
        io::Error::from(io::ErrorKind::NotFound)
    })))
}

fn unreachable(target: &Target, source: io::Error) -> FetchError {
    FetchError::Unreachable {
        host: target.host.to_string(),
        source,
    }
}

async fn resolve(target: &Target) -> io::Result<impl Iterator<Item = IpAddr>> {
    let found = match &target.host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => tokio::net::lookup_host((name.as_str(), target.port))
            .await?
            .map(|address| address.ip())
            .collect(),
    };
    Ok(found.into_iter())
}

async fn secured(target: &Target, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = match &target.host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
    };
    let connector = TlsConnector::from(tls()?);
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Trusts the authorities this system trusts; read once.
fn tls() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "certificate authorities of the system");
    }
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(loaded.certs);
    tracing::debug!(trusted = roots.len(), ignored, "certificate authorities");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

async fn ask(
    target: &Target,
    stream: Box<dyn Stream>,
    request: Request<Vec<u8>>,
    most_bytes: usize,
) -> Result<Response<Vec<u8>>, FetchError> {
    let broken = |error: &dyn std::error::Error| FetchError::Broken {
        host: target.host.to_string(),
        words: error.to_string(),
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD_BYTES)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let request = addressed(target, request).map_err(|error| broken(&error))?;
    let answer = pin!(async {
        let response = sender.send_request(request).await;
        let (head, body) = response.map_err(|error| broken(&error))?.into_parts();
        let mut chunks = Body::new(body).into_data_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| broken(&error))?;
            if bytes.len() + chunk.len() > most_bytes {
                return Err(FetchError::TooLarge(most_bytes));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Response::from_parts(head, bytes))
    });
    // The connection moves the bytes; when it ends first, what it brought is still read.
    match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

/// The request in origin form, for this connection only.
fn addressed(
    target: &Target,
    request: Request<Vec<u8>>,
) -> Result<Request<Body>, axum::http::Error> {
    let (mut head, body) = request.into_parts();
    head.uri = target.path.clone();
    head.headers
        .insert(HOST, HeaderValue::try_from(target.authority.as_str())?);
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(Request::from_parts(head, Body::from(body)))
}
