//! Somebody who gets an account, and the way in that they get with it.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;

use crate::App;
use crate::auth::password;
use crate::store::identities::{self, IdentityRow};
use crate::store::{self, StoreError, Tx};

/// An account to be.
#[derive(Debug)]
pub(super) struct Newcomer {
    name: String,
    /// Their email, plain.
    pub(super) email: String,
    way: WayIn,
}

#[derive(Debug)]
enum WayIn {
    /// Its hash.
    Password(String),
    Identity(IdentityRow),
}

impl Newcomer {
    /// Somebody who chose a password.
    pub(super) async fn with_password(
        app: &App,
        name: &str,
        email: &str,
        new: &str,
    ) -> Result<Self, Failure> {
        let (name, email) = (super::name(name, "a person's")?, super::email(email)?);
        password::check(new, &email)?;
        let way = WayIn::Password(app.passwords.hash(new).await?);
        Ok(Self { name, email, way })
    }

    /// Somebody known by a provider, which may call them what no name can be.
    pub(super) fn with_identity(
        name: Option<&str>,
        email: &str,
        identity: IdentityRow,
    ) -> Result<Self, Failure> {
        let email = super::email(email)?;
        let name = name.and_then(|name| super::name(name, "a person's").ok());
        Ok(Self {
            name: name.unwrap_or_else(|| email.clone()),
            email,
            way: WayIn::Identity(identity),
        })
    }

    /// Makes the account.
    pub(super) async fn insert(
        &self,
        tx: &mut Tx,
        user: UserId,
        now: UtcMillis,
    ) -> Result<(), Failure> {
        let made = store::members::insert_user(tx, user, &self.email, &self.name, now).await;
        self.with_way_in(made, tx, user, now).await
    }

    /// Makes an account theirs that nobody can sign in to yet.
    pub(super) async fn take_over(
        &self,
        tx: &mut Tx,
        user: UserId,
        now: UtcMillis,
    ) -> Result<(), Failure> {
        let made = store::members::update_user(tx, user, &self.email, &self.name).await;
        self.with_way_in(made, tx, user, now).await
    }

    async fn with_way_in(
        &self,
        made: Result<(), StoreError>,
        tx: &mut Tx,
        user: UserId,
        now: UtcMillis,
    ) -> Result<(), Failure> {
        made.map_err(|error| duplicate_or(error, || self.taken()))?;
        match &self.way {
            WayIn::Password(phc) => Ok(store::passwords::set(tx, user, phc, now).await?),
            WayIn::Identity(row) => {
                let linked = identities::insert(tx, user, row).await;
                linked.map_err(|error| duplicate_or(error, linked_already))
            }
        }
    }

    /// Another person has that email.
    pub(super) fn taken(&self) -> Failure {
        let hint = match self.way {
            WayIn::Password(_) => "give another email, or sign in to that account",
            WayIn::Identity(_) => {
                "sign in to it with its password, then link this provider under Settings > Profile"
            }
        };
        taken(&self.email).hint(hint)
    }
}

/// Another person has that email.
pub(super) fn taken(email: &str) -> Failure {
    let words = format!("there is already an account with the email {email}");
    Failure::new(ErrorCode::Conflict, words).hint("give another email, or sign in to that account")
}

/// Another person has that identity.
pub(super) fn linked_already() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "that identity belongs to an account already",
    )
    .hint("unlink it there first, or choose another account at the provider")
}

/// What to say when something is somebody's already.
pub(super) fn duplicate_or(error: StoreError, words: impl FnOnce() -> Failure) -> Failure {
    if error.is_duplicate() {
        words()
    } else {
        error.into()
    }
}
