//! Which browser asks: a cookie that it keeps for a year, signed in or not.
//!
//! The forms of strangers are tied to it, and an account remembers (as a hash) the ones that signed in
//! to it. It opens nothing by itself.

use axum::http::{HeaderMap, HeaderValue};
use hostler_proto::error::Failure;
use sha2::{Digest as _, Sha256};

use super::cookie;
use crate::clock;
use crate::edge::Peer;

/// How long a browser keeps it, seconds.
const LIFE_S: i64 = 365 * 24 * 3_600;

/// A browser, by the value of its cookie: 64 hex digits.
#[derive(Clone)]
pub(crate) struct Mark(String);

impl Mark {
    /// The one that a request brings.
    pub(crate) fn of(headers: &HeaderMap, peer: Peer) -> Option<Self> {
        let value = cookie::FORM.read(headers, peer)?;
        let ours = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        ours.then(|| Self(value.to_owned()))
    }

    /// A fresh one, and the `Set-Cookie` that gives it.
    pub(crate) fn fresh(headers: &HeaderMap, peer: Peer) -> Result<(Self, HeaderValue), Failure> {
        let value = hex::encode(clock::random::<32>());
        let set = cookie::FORM.set(&value, Some(LIFE_S), headers, peer)?;
        Ok((Self(value), set))
    }

    /// What the forms in it repeat.
    pub(crate) fn form_token(&self) -> String {
        self.derive("hostler form")
    }

    /// What an account remembers of it.
    pub(crate) fn hash(&self) -> String {
        self.derive("hostler browser")
    }

    fn derive(&self, what: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(what.as_bytes());
        digest.update(b"\0");
        digest.update(self.0.as_bytes());
        hex::encode(digest.finalize())
    }
}
