//! Links that work once: set-up, invitation, recovery.
//!
//! The secret stands in the link's path, so it is never logged and the pages behind it give no
//! referrer. Looking at a link never uses it up (programs look at links in messages before people
//! do); acting on it does, in the transaction of what it lets somebody do.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use hostler_proto::time::UtcMillis;

use super::{Browser, Refused};
use crate::auth::{Secret, SecretKind};
use crate::limits::{Bucket, address_key};
use crate::store::links::{LinkRow, NewLink};
use crate::store::{self, Tx};
use crate::{App, clock};

const HOUR_MS: i64 = 3_600_000;

/// What a link lets somebody do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Become the owner of a fresh server.
    Setup,
    /// Join an organization.
    Invitation,
    /// Set a new password.
    Recovery,
}

impl LinkKind {
    /// The word the catalog stores.
    pub fn word(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Invitation => "invitation",
            Self::Recovery => "recovery",
        }
    }

    /// How long a link is good, milliseconds.
    pub fn life_ms(self) -> i64 {
        match self {
            Self::Setup => 24 * HOUR_MS,
            Self::Invitation => 7 * 24 * HOUR_MS,
            Self::Recovery => HOUR_MS,
        }
    }

    /// The folder of its pages.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Invitation => "invitations",
            Self::Recovery => "recover",
        }
    }

    /// The whole link.
    pub fn url(self, base: &str, secret: &Secret) -> String {
        format!("{base}/{}/{}", self.folder(), secret.expose())
    }

    /// Where to get another.
    fn another(self) -> &'static str {
        match self {
            Self::Setup => "The server prints a fresh one each time it starts, until it is set up.",
            Self::Invitation => "Ask whoever invited you for another.",
            Self::Recovery => {
                "Ask an admin of your organization for another, or make one with `hostler recover` on the server's machine."
            }
        }
    }
}

/// A fresh link and its row, for whoever fills in whom it is for.
pub(crate) fn mint<'a>(kind: LinkKind, org: OrgId, now: UtcMillis) -> (Secret, NewLink<'a>) {
    let secret = Secret::mint(SecretKind::Link, &clock::random());
    let link = NewLink {
        id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
        kind: kind.word(),
        hash: secret.hash().to_string(),
        org_id: org,
        user_id: None,
        email: None,
        role: None,
        created_by: None,
        created_at: now,
        expires_at: now.plus_ms(kind.life_ms()),
    };
    (secret, link)
}

/// The link behind a code, if it is still good for this.
pub(crate) async fn look(
    app: &App,
    kind: LinkKind,
    code: &str,
    browser: Browser<'_>,
) -> Result<LinkRow, Refused> {
    let now = clock::wall();
    let key = address_key(browser.peer.address);
    app.limits.take(Bucket::Links, &key, now)?;
    let secret = Secret::read(code).filter(|secret| secret.kind() == SecretKind::Link);
    let Some(secret) = secret else {
        return Err(unknown(kind).into());
    };
    let row = store::links::by_hash(&app.store, &secret.hash().to_string()).await?;
    let Some(row) = row.filter(|row| row.kind == kind.word()) else {
        return Err(unknown(kind).into());
    };
    if row.spent_at.is_some() {
        return Err(spent(kind).into());
    }
    if row.expires_at <= now {
        return Err(expired(kind).into());
    }
    Ok(row)
}

/// Uses a link up; refused when another did meanwhile.
pub(crate) async fn spend(
    tx: &mut Tx,
    kind: LinkKind,
    link: &LinkRow,
    now: UtcMillis,
) -> Result<(), Failure> {
    if store::links::spend(tx, link.id, now).await? {
        return Ok(());
    }
    Err(spent(kind))
}

fn unknown(kind: LinkKind) -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such link").hint(format!(
        "Look whether it was copied whole. {}",
        kind.another()
    ))
}

fn spent(kind: LinkKind) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        "this link was used already, or taken back",
    )
    .hint(kind.another())
}

fn expired(kind: LinkKind) -> Failure {
    let hours = kind.life_ms() / HOUR_MS;
    let words = format!("this link has expired: it was good for {hours} h");
    Failure::new(ErrorCode::NotFound, words).hint(kind.another())
}
