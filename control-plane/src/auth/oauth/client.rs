//! Which client it is: our own command line, one that registered, or one with a metadata document.
//!
//! All of them are public: a client is known by where it may be answered, never by a secret.

use hostler_proto::time::UtcMillis;

use super::document::{self, DocumentError};
use super::redirect;
use crate::edge::Peer;
use crate::store::StoreError;
use crate::{App, names, store};

/// The command line's id, known to every server.
pub(crate) const CLI: &str = "hostler-cli";

/// Where the command line listens while somebody signs in; the port is its own.
const CLI_REDIRECTS: [&str; 3] = [
    "http://127.0.0.1/callback",
    "http://localhost/callback",
    "http://[::1]/callback",
];

/// Longest name people are shown, characters.
const NAME_CHARACTERS: usize = 80;

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// What it calls itself in a request.
    pub(crate) id: String,
    /// How we know it.
    pub(crate) kind: Kind,
    /// What people are told it is.
    pub(crate) name: String,
    /// Where its users may be sent back to.
    pub(crate) redirect_uris: Vec<String>,
}

/// How a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is part of Hostler.
    BuiltIn,
    /// It registered itself: its name is what it says.
    Registered,
    /// It has a document at its id's address: whoever runs that host vouches for it.
    Document,
    /// Its document's host cannot be reached from here, so nobody vouches for it; it is answered on
    /// the person's own machine alone, as any client may be that registers itself.
    OutOfReach,
}

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// It never registered here, or so long ago that it was forgotten.
    #[error("this server knows no such client (registrations that are not used are forgotten)")]
    Unknown,
    /// Its document cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The catalog.
    #[error("the control plane's catalog failed")]
    Catalog(#[from] StoreError),
}

impl Client {
    /// Whether its users may be sent back to this address.
    pub(crate) fn may_answer_at(&self, uri: &str) -> bool {
        redirect::refused(uri).is_none()
            && self
                .redirect_uris
                .iter()
                .any(|known| redirect::matches(known, uri))
    }

    fn built_in() -> Self {
        Self {
            id: CLI.to_owned(),
            kind: Kind::BuiltIn,
            name: "Hostler command line".to_owned(),
            redirect_uris: CLI_REDIRECTS.map(str::to_owned).into(),
        }
    }
}

/// Whether a client's id is the address of its document.
pub(crate) fn is_address(id: &str) -> bool {
    id.starts_with("https://") || id.starts_with("http://")
}

/// The client with this id. A document is fetched when it was not read lately, on behalf of `peer`.
pub(crate) async fn find(
    app: &App,
    id: &str,
    peer: Peer,
    now: UtcMillis,
) -> Result<Client, ClientError> {
    if id == CLI {
        return Ok(Client::built_in());
    }
    let known = store::clients::by_id(&app.store, id, now).await?;
    match known {
        Some(row) if is_address(id) => return Ok(document::kept(row)?),
        Some(row) => {
            return Ok(Client {
                id: row.id,
                kind: Kind::Registered,
                name: row.name,
                redirect_uris: row.redirect_uris,
            });
        }
        None => {}
    }
    if !is_address(id) || !app.server.oauth.documents {
        return Err(ClientError::Unknown);
    }
    Ok(document::read(app, id, peer, now).await?)
}

/// Whether a client may be one of ours: its document need not have been read for that.
pub(super) async fn may_be_known(app: &App, id: &str, now: UtcMillis) -> Result<bool, StoreError> {
    let known = id == CLI || is_address(id);
    Ok(known || store::clients::by_id(&app.store, id, now).await?.is_some())
}

/// The client, or one that nobody vouches for where its document cannot be reached (a server without
/// the internet) and it is answered at `redirect_uri` on the person's own machine.
pub(super) async fn find_answered_at(
    app: &App,
    id: &str,
    redirect_uri: &str,
    peer: Peer,
    now: UtcMillis,
) -> Result<Client, ClientError> {
    match find(app, id, peer, now).await {
        Err(ClientError::Document(error))
            if error.is_out_of_reach() && redirect::is_local(redirect_uri) =>
        {
            tracing::info!(id, %error, "a client is not vouched for");
            Ok(Client {
                id: id.to_owned(),
                kind: Kind::OutOfReach,
                name: redirect::shown(id),
                redirect_uris: vec![redirect_uri.to_owned()],
            })
        }
        other => other,
    }
}

/// A name as people may be shown it: one line, without characters that hide or turn others.
pub(super) fn shown_name(text: &str) -> Option<String> {
    let plain: String = text
        .chars()
        .map(|c| if names::disguises(c) { ' ' } else { c })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let name: String = words.join(" ").chars().take(NAME_CHARACTERS).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_line() {
        assert_eq!(shown_name(" a\n\tb  c ").as_deref(), Some("a b c"));
        assert_eq!(shown_name("x\u{202e}y\u{200b}z").as_deref(), Some("x y z"));
        assert_eq!(shown_name(" \u{feff}\n"), None);
        assert_eq!(shown_name(&"é".repeat(500)).unwrap().chars().count(), 80);
    }

    #[test]
    fn the_command_line_is_answered_on_this_machine_alone() {
        let cli = Client::built_in();
        assert!(cli.may_answer_at("http://127.0.0.1:40000/callback"));
        assert!(cli.may_answer_at("http://localhost:40000/callback"));
        assert!(!cli.may_answer_at("http://127.0.0.1:40000/"));
        assert!(!cli.may_answer_at("https://evil.example/callback"));
    }
}
