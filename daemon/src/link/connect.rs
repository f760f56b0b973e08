//! From an address to a websocket, each network step with its own limit: one step that hangs must
//! not hang the link. TLS with the system's roots, except to this machine itself.

use std::net::SocketAddr;
use std::time::Duration;

use hostler_proto::enrol::LINK_PATH;
use hostler_proto::frame::MAX_TEXT;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use url::Url;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const LOOK_UP: Duration = Duration::from_secs(10);
const CONNECT_ONE: Duration = Duration::from_secs(5);
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 6;

/// tungstenite's own defaults reserve 128 KiB twice per connection and queue without end.
pub(super) fn socket_settings() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
        .max_write_buffer_size(MAX_TEXT + (1 << 20))
        .max_message_size(Some(MAX_TEXT))
        .max_frame_size(Some(MAX_TEXT))
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{url} is not an address of a control plane: {reason}")]
    Address { url: String, reason: String },
    #[error("the name {host} cannot be looked up: {reason}")]
    LookUp { host: String, reason: String },
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    #[error("{url} did not open a websocket: {reason}")]
    Handshake {
        url: String,
        reason: String,
        retry_after_ms: Option<u64>,
    },
    #[error("asked to stop")]
    Stopped,
}

impl ConnectError {
    /// What the server asked for in `Retry-After`.
    pub(super) fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Handshake { retry_after_ms, .. } => *retry_after_ms,
            Self::Address { .. } | Self::LookUp { .. } | Self::Connect { .. } | Self::Stopped => {
                None
            }
        }
    }
}

/// Opens the websocket of the control plane at `base` (http or https).
pub(super) async fn open(base: &str) -> Result<Socket, ConnectError> {
    let (url, host, port) = endpoint(base)?;
    let mut last = None;
    for address in look_up(&host, port).await? {
        match connect_one(address).await {
            Ok(stream) => return handshake(&url, stream).await,
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(ConnectError::LookUp {
        host,
        reason: "it has no address".to_owned(),
    }))
}

/// The websocket URL with its host and port.
fn endpoint(base: &str) -> Result<(Url, String, u16), ConnectError> {
    let bad = |reason: &str| ConnectError::Address {
        url: base.to_owned(),
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return Err(bad("it must begin with http:// or https://")),
    };
    let path = format!("{}{LINK_PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_scheme(scheme).map_err(|()| bad("scheme"))?;
    let host = url.host_str().ok_or_else(|| bad("it names no host"))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = url
        .port_or_known_default()
        .ok_or_else(|| bad("it names no port"))?;
    Ok((url, host, port))
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |reason: String| ConnectError::LookUp {
        host: host.to_owned(),
        reason,
    };
    let found = timeout(LOOK_UP, tokio::net::lookup_host((host, port)))
        .await
        .unwrap_or_else(|_| Err(io_timeout(LOOK_UP)))
        .map_err(|error| failed(error.to_string()))?;
    Ok(found.take(MOST_ADDRESSES).collect())
}

async fn connect_one(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |reason: String| ConnectError::Connect {
        address: address.to_string(),
        reason,
    };
    let stream = timeout(CONNECT_ONE, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io_timeout(CONNECT_ONE)))
        .map_err(|error| failed(error.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|error| failed(error.to_string()))?;
    Ok(stream)
}

fn io_timeout(limit: Duration) -> std::io::Error {
    let words = format!("no answer in {} s", limit.as_secs());
    std::io::Error::new(std::io::ErrorKind::TimedOut, words)
}

async fn handshake(url: &Url, stream: TcpStream) -> Result<Socket, ConnectError> {
    let failed = |reason: String, retry_after_ms| ConnectError::Handshake {
        url: url.to_string(),
        reason,
        retry_after_ms,
    };
    let request = url
        .as_str()
        .into_client_request()
        .map_err(|error| failed(error.to_string(), None))?;
    let opening = tokio_tungstenite::client_async_tls_with_config(
        request,
        stream,
        Some(socket_settings()),
        None,
    );
    match timeout(HANDSHAKE, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(WsError::Http(response))) => Err(failed(
            format!("it answered {}", response.status()),
            retry_after(response.headers()),
        )),
        Ok(Err(error)) => Err(failed(error.to_string(), None)),
        Err(_) => Err(failed(
            format!("no answer in {} s", HANDSHAKE.as_secs()),
            None,
        )),
    }
}

/// `Retry-After` in seconds (its date form is not used by control planes).
fn retry_after(headers: &tokio_tungstenite::tungstenite::http::HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(seconds.min(3_600) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_websocket_lies_under_the_base_address() {
        for (base, url, host, port) in [
            (
                "http://127.0.0.1:4880",
                "ws://127.0.0.1:4880/v1/host/link",
                "127.0.0.1",
                4880,
            ),
            (
                "https://hostler.example.com/base/",
                "wss://hostler.example.com/base/v1/host/link",
                "hostler.example.com",
                443,
            ),
            ("http://[::1]:9", "ws://[::1]:9/v1/host/link", "::1", 9),
        ] {
            let (got, got_host, got_port) = endpoint(base).unwrap();
            assert_eq!(
                (got.as_str(), got_host.as_str(), got_port),
                (url, host, port)
            );
        }
        assert!(endpoint("ftp://x").is_err());
        assert!(endpoint("no url").is_err());
    }
}
