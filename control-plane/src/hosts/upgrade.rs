//! From an HTTP request to a websocket (RFC 6455 section 4.2), with buffers that suit a thousand
//! idle hosts.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hostler_proto::frame::MAX_TEXT;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::link;
use crate::App;
use crate::edge::Peer;

const UPGRADE: Duration = Duration::from_secs(10);

/// `GET /v1/host/link`.
pub(super) async fn link(State(app): State<App>, mut request: Request) -> Response {
    let Some(accept) = accept_key(request.headers()) else {
        return (
            StatusCode::UPGRADE_REQUIRED,
            [(header::UPGRADE, "websocket")],
            "this address is for host daemons: it wants a websocket (RFC 6455, version 13)\n",
        )
            .into_response();
    };
    let peer = request.extensions().get::<Peer>().copied();
    let Some(place) = app.hosts.greeting.enter(peer.unwrap_or_default().address) else {
        let wait = [(header::RETRY_AFTER, "5")];
        return (StatusCode::SERVICE_UNAVAILABLE, wait, "too many at once\n").into_response();
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let serving = app.clone();
    app.background.spawn(async move {
        match timeout(UPGRADE, upgrade).await {
            Ok(Ok(upgraded)) => {
                let io = TokioIo::new(upgraded);
                let socket =
                    WebSocketStream::from_raw_socket(io, Role::Server, Some(settings())).await;
                link::serve(serving, socket, place).await;
            }
            Ok(Err(error)) => tracing::debug!("a host's upgrade failed: {error}"),
            Err(_) => tracing::debug!("a host's upgrade took too long"),
        }
    });
    let headers = [
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// tungstenite's own defaults reserve 128 KiB twice per connection and queue without end.
fn settings() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(8 << 10)
        .max_write_buffer_size(MAX_TEXT + (1 << 20))
        .max_message_size(Some(MAX_TEXT))
        .max_frame_size(Some(MAX_TEXT))
}

/// The answer to the client's key; none when the request is not a websocket handshake.
fn accept_key(headers: &HeaderMap) -> Option<String> {
    let holds = |name, word: &str| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|text| {
                text.split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(word))
            })
        })
    };
    let fits = holds(header::CONNECTION, "upgrade")
        && holds(header::UPGRADE, "websocket")
        && holds(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    fits.then(|| derive_accept_key(key.as_bytes()))
}
