//! Client id metadata documents: a client whose id is the address of a JSON document that says what
//! it is (draft-ietf-oauth-client-id-metadata-document).
//!
//! The address was chosen by a stranger, so it is fetched through the address filter, without
//! redirects, within 5 s and 5 KiB. The document must name its own address. What was read is kept
//! for ten minutes; that nobody was there for five, so that a server without the internet waits once
//! and not at every step of a sign-in.

use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use hostler_proto::time::UtcMillis;
use serde::Deserialize;
use url::{Position, Url};

use super::address::is_loopback;
use super::client::{Client, Kind, shown_name};
use super::redirect;
use crate::App;
use crate::edge::Peer;
use crate::fetch::{self, FetchError, Limits, Reach};
use crate::limits::{Bucket, Wait, address_key};
use crate::store::StoreError;
use crate::store::clients::{self, ClientRow};

/// Most bytes of a document.
const MOST_BYTES: usize = 5 << 10;

/// For everything from the name to the last byte.
const WITHIN: Duration = Duration::from_secs(5);

/// For the name, the connection and TLS: longer waits find nobody.
const REACHED_WITHIN: Duration = Duration::from_secs(3);

/// How long a reading is kept, milliseconds.
const KEPT_MS: i64 = 10 * 60_000;

/// How long it is kept that nobody was there, milliseconds.
const AWAY_MS: i64 = 5 * 60_000;

/// What the catalog calls a client whose document was read.
const READ: &str = "document";

/// What it calls one at whose document's address nobody was.
const AWAY: &str = "unreachable";

/// Longest address, bytes.
const MOST_ADDRESS_BYTES: usize = 2048;

/// Most redirect URIs of one client.
pub(super) const MOST_REDIRECTS: usize = 20;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// The id cannot be the address of a document.
    #[error("the client's id is no address of a metadata document: {0}")]
    Id(&'static str),
    /// It was asked for too often.
    #[error(transparent)]
    TooOften(#[from] Wait),
    /// It could not be fetched.
    #[error("the client's metadata document could not be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// Nobody was there a moment ago.
    #[error("the client's metadata document could not be fetched: {0} cannot be reached")]
    Away(String),
    /// It was fetched and is not one.
    #[error("the client's metadata document cannot be used: {0}")]
    Content(String),
    /// The catalog.
    #[error("the control plane's catalog failed")]
    Catalog(#[from] StoreError),
}

impl DocumentError {
    /// Whether nobody was there: nothing is known against the document.
    pub(super) fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Away(_) => true,
            // TLS that does not stand is an answer.
            Self::Fetch(FetchError::Unreachable { source, .. }) => {
                source.kind() != std::io::ErrorKind::InvalidData
            }
            Self::Fetch(
                FetchError::NoUrl(_)
                | FetchError::Address(_)
                | FetchError::Path(_)
                | FetchError::NotPublic(_)
                | FetchError::Broken { .. }
                | FetchError::TooLarge(_)
                | FetchError::TooSlow(_),
            )
            | Self::Id(_)
            | Self::TooOften(_)
            | Self::Content(_)
            | Self::Catalog(_) => false,
        }
    }
}

/// What we read of a document.
#[derive(Deserialize)]
struct Document {
    client_id: String,
    client_name: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
}

/// Fetches the document of a client and keeps what it says, or that nobody was there.
pub(super) async fn read(
    app: &App,
    id: &str,
    peer: Peer,
    now: UtcMillis,
) -> Result<Client, DocumentError> {
    let loopback = app.server.oauth.loopback_documents;
    check_id(id, loopback).map_err(DocumentError::Id)?;
    let key = address_key(peer.address);
    app.limits.take(Bucket::MetadataFetch, &key, now)?;
    let read = match fetched(id, loopback).await {
        Ok(body) => understood(id, &body).map_err(DocumentError::Content),
        Err(error) => Err(error),
    };
    let row = ClientRow {
        id: id.to_owned(),
        kind: READ.to_owned(),
        name: redirect::shown(id),
        redirect_uris: Vec::new(),
        created_at: now,
        expires_at: now.plus_ms(KEPT_MS),
    };
    let row = match &read {
        Ok(client) => ClientRow {
            name: client.name.clone(),
            redirect_uris: client.redirect_uris.clone(),
            ..row
        },
        Err(error) if error.is_out_of_reach() => ClientRow {
            kind: AWAY.to_owned(),
            expires_at: now.plus_ms(AWAY_MS),
            ..row
        },
        Err(_) => return read,
    };
    let mut tx = app.store.begin().await?;
    clients::put(&mut tx, &row).await?;
    app.store.commit(tx).await?;
    read
}

/// The client as its document said lately.
pub(super) fn kept(row: ClientRow) -> Result<Client, DocumentError> {
    if row.kind == AWAY {
        return Err(DocumentError::Away(row.name));
    }
    Ok(Client {
        id: row.id,
        kind: Kind::Document,
        name: row.name,
        redirect_uris: row.redirect_uris,
    })
}

async fn fetched(id: &str, loopback: bool) -> Result<Vec<u8>, DocumentError> {
    let content = |words: &str| DocumentError::Content(words.to_owned());
    let request = Request::get(id)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "hostler")
        .body(Vec::new())
        .map_err(|error| DocumentError::Content(error.to_string()))?;
    let limits = Limits {
        reach: if loopback {
            Reach::PublicOrLoopback
        } else {
            Reach::Public
        },
        most_bytes: MOST_BYTES,
        reached_within: REACHED_WITHIN,
        within: WITHIN,
    };
    let answer = fetch::send(request, limits).await?;
    if answer.status() != StatusCode::OK {
        return Err(DocumentError::Content(format!(
            "its address answers {} (redirects are not followed)",
            answer.status().as_u16()
        )));
    }
    let media = answer.headers().get(header::CONTENT_TYPE);
    let media = media.and_then(|media| media.to_str().ok()).unwrap_or("");
    let essence = media
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !json {
        return Err(content("it is not served as application/json"));
    }
    Ok(answer.into_body())
}

/// The rules for such an id (section 3 of the draft).
fn check_id(id: &str, loopback: bool) -> Result<(), &'static str> {
    if id.len() > MOST_ADDRESS_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it is too long, or holds characters that belong escaped");
    }
    let url = Url::parse(id).map_err(|_not| "it is no URL")?;
    let development = loopback && url.scheme() == "http" && is_loopback(&url);
    if url.scheme() != "https" && !development {
        return Err("it must begin with https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold credentials");
    }
    if id.contains('#') {
        return Err("it must not have a fragment");
    }
    if url.path() == "/" {
        return Err("it must have a path");
    }
    // The parser resolves dots and escapes: what it changed was not plain.
    let after_scheme = id.split_once("://").map_or("", |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
    if path != &url[Position::BeforePath..Position::AfterQuery] {
        return Err("its path must be plain, without dot segments");
    }
    Ok(())
}

fn understood(id: &str, body: &[u8]) -> Result<Client, String> {
    let document: Document =
        serde_json::from_slice(body).map_err(|error| format!("it cannot be read: {error}"))?;
    if document.client_id != id {
        return Err("its client_id is not its own address".to_owned());
    }
    if let Some(method) = &document.token_endpoint_auth_method
        && method != "none"
    {
        return Err("it asks for a way of authenticating other than none".to_owned());
    }
    let count = document.redirect_uris.len();
    if count == 0 || count > MOST_REDIRECTS {
        return Err(format!("it must have 1 to {MOST_REDIRECTS} redirect_uris"));
    }
    if let Some(why) = document
        .redirect_uris
        .iter()
        .find_map(|uri| redirect::refused(uri))
    {
        return Err(why.to_owned());
    }
    let name = document.client_name.as_deref().and_then(shown_name);
    Ok(Client {
        id: id.to_owned(),
        kind: Kind::Document,
        name: name.unwrap_or_else(|| redirect::shown(id)),
        redirect_uris: document.redirect_uris,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_https_address_with_a_path() {
        for good in [
            "https://a.example/client",
            "https://a.example:8443/c.json?v=1",
        ] {
            assert_eq!(check_id(good, false), Ok(()), "{good}");
        }
        for bad in [
            "https://a.example",
            "https://a.example/",
            "http://a.example/client",
            "http://127.0.0.1/client",
            "https://a.example/x/../client",
            "https://a.example/./client",
            "https://a.example/%2e%2e/client",
            "https://a.example/client#x",
            "https://me@a.example/client",
            "https://a.example/cli ent",
            "https:/client",
            "ftp://a.example/client",
        ] {
            assert!(check_id(bad, false).is_err(), "{bad}");
        }
        assert_eq!(check_id("http://127.0.0.1:5/client", true), Ok(()));
        assert!(check_id("http://a.example/client", true).is_err());
    }

    #[test]
    fn a_document_speaks_for_its_own_address_alone() {
        let id = "https://a.example/client";
        let read = |text: &str| understood(id, text.as_bytes());
        let good = r#"{"client_id":"https://a.example/client","redirect_uris":["http://localhost/cb"],"x":1}"#;
        assert_eq!(read(good).unwrap().name, "a.example");
        for bad in [
            "",
            "<html>",
            "[]",
            r#"{"client_id":"https://a.example/other","redirect_uris":["http://localhost/cb"]}"#,
            r#"{"client_id":"https://a.example/client"}"#,
            r#"{"client_id":"https://a.example/client","redirect_uris":["javascript:1"]}"#,
            r#"{"client_id":"https://a.example/client","redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"private_key_jwt"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
