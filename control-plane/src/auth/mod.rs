//! Who is calling: one lookup path from a presented secret to a [`Caller`].
//!
//! Every request is for one organization, the one its token is for. A caller carries what every
//! domain operation needs to decide: organization, person, role, scopes. This module decides who
//! somebody is; what they may see of a thing is decided where the thing is.

pub(crate) mod browser;
pub(crate) mod cookie;
mod mint;
pub mod oauth;
pub mod password;
mod present;
mod scope;
mod secret;
pub mod session;

use std::net::IpAddr;

use hostler_proto::actor::Actor;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{OrgId, UserId};
use uuid::Uuid;

pub(crate) use mint::{ENROLMENT_KEY_MS, mint};
pub use password::Passwords;
pub use present::{Denied, authenticate, identify};
pub use scope::{Scope, Scopes};
pub use secret::{Secret, SecretEntropy, SecretHash, SecretKind};

/// Somebody who presented a good token, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The organization the token is for: the boundary of everything they see.
    pub org_id: OrgId,
    /// The person.
    pub user_id: UserId,
    /// Their role in that organization.
    pub role: Role,
    /// The token they presented.
    pub token_id: Uuid,
    /// What the token may do.
    pub scopes: Scopes,
    /// How they are named to others: their email.
    pub label: String,
    /// What they call with, and from where.
    pub via: Via,
}

/// The program somebody calls with, and where it is: for the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via {
    /// The program in words: `console`, `API key laptop`, an OAuth client's name.
    pub client: String,
    /// Its address, as far as the proxies in between are trusted.
    pub address: Option<IpAddr>,
}

/// A person's role in an organization, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Works with what they are given.
    Member,
    /// Also changes what belongs to the organization.
    Admin,
    /// Also owns it.
    Owner,
}

impl Caller {
    /// Who asks, as hosts are told.
    pub fn actor(&self) -> Actor {
        Actor {
            user_id: self.user_id,
            email: self.label.clone(),
        }
    }

    /// Refuses a call that the token has no scope for, naming the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::Forbidden,
            format!("this token lacks the scope {}", scope.name()),
        )
        .hint(format!(
            "Use a token that has {}; this one has: {}.",
            scope.name(),
            self.scopes
        )))
    }
}

impl Role {
    /// The word the catalog stores.
    pub fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role the catalog stored as `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.word() == word)
    }
}
