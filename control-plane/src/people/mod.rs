//! People: how they get in, which organizations they belong to, and in which role.
//!
//! A way in is a password, an identity at another provider, or a link that works once. Managing
//! people is for those who are signed in to the console: no token's scopes cover it. Each operation
//! asks for the caller's role again in the transaction that acts, so that a role taken away a moment
//! before counts. What a person may do with things is decided where the things are.

pub mod invitations;
pub mod links;
pub mod members;
mod newcomer;
pub(crate) mod oidc;
pub mod organizations;
pub mod profile;
pub mod recovery;
pub mod setup;
pub mod sign_in;
pub(crate) mod single_sign_on;

use axum::http::HeaderMap;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{OrgId, UserId};
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use crate::auth::{Caller, Role, Scopes, Via};
use crate::edge::Peer;
use crate::limits::Wait;
use crate::names;
use crate::store::StoreError;

/// Most characters of a person's or an organization's name.
const MOST_NAME_CHARACTERS: usize = 100;

/// Most characters of an email address (RFC 5321 section 4.5.3.1.3, without the brackets).
const MOST_EMAIL_CHARACTERS: usize = 254;

/// Why somebody who is not signed in did not get what they wanted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Too often.
    #[error(transparent)]
    Wait(#[from] Wait),
    /// Something else.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

/// The browser that asks for something.
#[derive(Clone, Copy, Debug)]
pub struct Browser<'r> {
    /// Its request's headers.
    pub headers: &'r HeaderMap,
    /// Where it is.
    pub peer: Peer,
}

/// A person's name or an organization's: 1 to 100 characters, none that hides or turns others.
pub(crate) fn name(text: &str, whose: &str) -> Result<String, Failure> {
    let name = names::readable(text, MOST_NAME_CHARACTERS).map(str::to_owned);
    name.ok_or_else(|| {
        let words = format!("{whose} name has 1 to {MOST_NAME_CHARACTERS} visible characters");
        Failure::new(ErrorCode::InvalidArgument, words)
    })
}

/// What was typed, without the space around it, in one form of Unicode (NFC).
pub(crate) fn typed(text: &str) -> String {
    text.trim().nfc().collect()
}

/// An email address as far as its form tells: something, one `@`, something, no spaces.
pub(crate) fn email(text: &str) -> Result<String, Failure> {
    let email = typed(text);
    let parts = email.split_once('@');
    let good = parts.is_some_and(|(mailbox, domain)| {
        !mailbox.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let plain = |c: char| {
        let hidden = names::disguises(c) || matches!(c, '\u{200c}' | '\u{200d}');
        !hidden && !c.is_whitespace() && !"<>\"(),;:\\".contains(c)
    };
    if good && email.chars().count() <= MOST_EMAIL_CHARACTERS && email.chars().all(plain) {
        return Ok(email);
    }
    Err(
        Failure::new(ErrorCode::InvalidArgument, "that is not an email address")
            .hint("write it like ada@example.com"),
    )
}

/// Somebody who is getting in, as the one who acts.
fn acting(org: OrgId, user: UserId, role: Role, session: Uuid, email: &str, peer: Peer) -> Caller {
    Caller {
        org_id: org,
        user_id: user,
        role,
        token_id: session,
        scopes: Scopes::all(),
        label: email.to_owned(),
        via: Via {
            client: "console".to_owned(),
            address: Some(peer.address),
        },
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod form_tests {
    use super::*;

    #[test]
    fn names_and_emails_are_plain_text() {
        assert_eq!(name("  Ada  ", "a person's").unwrap(), "Ada");
        assert_eq!(email(" Ada@Example.com ").unwrap(), "Ada@Example.com");
        for good in [
            "<b>&",
            "\u{1f469}\u{200d}\u{1f4bb}",
            "علی\u{200c}رضا",
            "Ærø",
        ] {
            assert_eq!(name(good, "a person's").unwrap(), good);
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\0b",
            "\u{202e}emcA",
            "Ac\u{200b}me",
            "\u{200d}",
            "\u{3164}",
            "\u{2066}Acme\u{2069}",
            &"x".repeat(101),
            &"x".repeat(10_000),
        ] {
            assert!(name(bad, "a person's").is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "a b@c",
            "a\n@c",
            "<a@b>",
            "a@b,c@d",
            "ad\u{200b}a@example.com",
            "\u{202e}ada@example.com",
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }
}
