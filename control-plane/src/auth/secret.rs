//! Secrets that stand for a principal: API keys, access and refresh tokens, host enrolment keys,
//! browser sessions, links that work once.
//!
//! A secret is 256 random bits behind a prefix that secret scanners know. Only its SHA-256 is ever
//! stored, and it is looked up by that hash, so no comparison of secrets can leak time. This
//! module makes and reads their text; it never stores them, and its types never print them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What a secret is for; its visible prefix says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A person's or a program's API key.
    ApiKey,
    /// An OAuth access token.
    AccessToken,
    /// An OAuth refresh token.
    RefreshToken,
    /// A single-use key that enrols one host.
    EnrolmentKey,
    /// A signed-in browser's cookie.
    Session,
    /// A link that works once: set-up, invitation, recovery.
    Link,
    /// An OAuth authorization code.
    AuthorizationCode,
    /// What a device asks with until somebody allowed it (RFC 8628).
    DeviceCode,
}

/// Random bits of one secret, supplied by the caller's source of chance.
pub type SecretEntropy = [u8; 32];

/// A secret in the clear, to be shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    kind: SecretKind,
    text: String,
}

/// SHA-256 of a secret's text: what is stored and looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretKind {
    const ALL: [Self; 8] = [
        Self::ApiKey,
        Self::AccessToken,
        Self::RefreshToken,
        Self::EnrolmentKey,
        Self::Session,
        Self::Link,
        Self::AuthorizationCode,
        Self::DeviceCode,
    ];

    /// The visible prefix.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "sk_live_",
            Self::AccessToken => "at_",
            Self::RefreshToken => "rt_",
            Self::EnrolmentKey => "hk_",
            Self::Session => "se_",
            Self::Link => "ln_",
            Self::AuthorizationCode => "ac_",
            Self::DeviceCode => "dc_",
        }
    }

    /// The word the catalog stores for this kind.
    pub fn word(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::EnrolmentKey => "enrolment_key",
            Self::Session => "session",
            Self::Link => "link",
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
        }
    }

    /// The kind the catalog stored as `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl Secret {
    /// A fresh secret of this kind.
    pub fn mint(kind: SecretKind, entropy: &SecretEntropy) -> Self {
        let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(entropy));
        Self { kind, text }
    }

    /// Reads a presented secret; none when it has no known prefix or not the length of one.
    pub fn read(text: &str) -> Option<Self> {
        let kind = SecretKind::ALL
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()))?;
        let body = URL_SAFE_NO_PAD.decode(&text[kind.prefix().len()..]).ok()?;
        (body.len() == size_of::<SecretEntropy>()).then(|| Self {
            kind,
            text: text.to_owned(),
        })
    }

    /// What it is for.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// The secret in the clear: only to be shown to its owner, once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

/// The kind and nothing of the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}…)", self.kind.prefix())
    }
}

/// Lower-case hex, as stored.
impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_secret_reads_back_with_its_kind_and_hash() {
        for (at, kind) in SecretKind::ALL.into_iter().enumerate() {
            let entropy = [u8::try_from(at).unwrap(); 32];
            let minted = Secret::mint(kind, &entropy);
            let read = Secret::read(minted.expose()).unwrap();
            assert_eq!(read, minted);
            assert_eq!(read.kind(), kind);
            assert_eq!(read.hash(), minted.hash());
            assert_eq!(SecretKind::from_word(kind.word()), Some(kind));
        }
    }

    #[test]
    fn what_is_not_a_secret_is_not_read() {
        let good = Secret::mint(SecretKind::ApiKey, &[7; 32]);
        for bad in [
            "",
            "sk_live_",
            "sk_live_short",
            "sk_test_AAAA",
            &good.expose()[..good.expose().len() - 1],
            &format!("{}A", good.expose()),
            &format!(" {}", good.expose()),
        ] {
            assert_eq!(Secret::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn debug_never_shows_the_secret() {
        let secret = Secret::mint(SecretKind::ApiKey, &[9; 32]);
        let shown = format!("{secret:?} {:?}", secret.hash());
        assert!(!shown.contains(&secret.expose()[8..]), "{shown}");
        assert!(!shown.contains(&secret.hash().to_string()), "{shown}");
    }
}
