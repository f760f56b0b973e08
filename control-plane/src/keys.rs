//! API keys: made, listed and revoked.
//!
//! People see and revoke their own; admins and owners all of the organization's. A key never may
//! more or lives longer than the key that made it, so nobody gains by making one, and none is ended
//! by a credential that may less. A connected client has nothing to do with keys: its own would
//! outlive its disconnection. The secret is shown once and kept nowhere.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;
use serde_json::json;
use uuid::Uuid;

use crate::App;
use crate::audit::{self, Thing};
use crate::auth::oauth::client::CLI;
use crate::auth::{Caller, Role, Scope, Scopes, SecretKind, mint};
use crate::store::tokens::{self, TokenRow};
use crate::store::whoami::WhoamiRow;
use crate::{clock, names, store};

/// Longest name, characters.
pub(crate) const LONGEST_NAME: usize = 100;

/// Longest life that can be asked for, days.
pub(crate) const MOST_DAYS: u32 = 3_650;

/// Keys one person can have at a time.
const MOST_KEYS: usize = 200;

const DAY_MS: i64 = 24 * 3_600_000;

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct CreateKey {
    /// What its owner calls it.
    pub name: String,
    /// Names of its scopes; none are all of the maker's.
    pub scopes: Option<Vec<String>>,
    /// After how many days it stops being good; none never.
    pub expires_in_days: Option<u32>,
}

/// A key as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Identity.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// What it may.
    pub scopes: Scopes,
    /// Whose it is.
    pub owner_id: UserId,
    /// Their email.
    pub owner: String,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it was last used, at a minute's accuracy.
    pub last_used_at: Option<UtcMillis>,
    /// When it stops being good.
    pub expires_at: Option<UtcMillis>,
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The secret; this is the only time it is known.
    pub secret: String,
    /// The key.
    pub key: Key,
}

/// The caller's keys; an admin's or owner's list holds everybody's. Newest first, also expired ones.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Key>, Failure> {
    credential(app, caller).await?;
    let whose = (caller.role < Role::Admin).then_some(caller.user_id);
    let rows = tokens::keys(&app.store, caller.org_id, whose).await?;
    Ok(rows.into_iter().map(view).collect())
}

/// Makes a key of the caller's own.
pub async fn create(app: &App, caller: &Caller, input: CreateKey) -> Result<NewKey, Failure> {
    let maker = credential(app, caller).await?;
    let name = named(&input.name)?;
    let scopes = scopes(caller, input.scopes.as_deref())?;
    let life = life(input.expires_in_days)?;
    let own = tokens::keys(&app.store, caller.org_id, Some(caller.user_id)).await?;
    if own.len() >= MOST_KEYS {
        return Err(Failure::new(
            ErrorCode::PreconditionFailed,
            format!("you have {MOST_KEYS} API keys already"),
        )
        .hint("revoke those you do not need"));
    }
    let (org, user) = (caller.org_id, caller.user_id);
    let (secret, mut token) = mint(SecretKind::ApiKey, &name, org, user, life);
    token.scopes = scopes.to_string();
    token.expires_at = not_after(maker.as_ref(), token.expires_at)?;
    let mut tx = app.store.begin().await?;
    tokens::insert(&mut tx, &token).await?;
    let (id, expires_at) = (token.id.to_string(), token.expires_at);
    let detail = json!({
        "scopes": token.scopes,
        "expiresAt": expires_at.map(|at| at.to_string()),
    });
    let thing = thing(&id, &name);
    audit::record(
        &mut tx,
        caller,
        "key.create",
        thing,
        Some(detail),
        token.created_at,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(NewKey {
        secret: secret.expose().to_owned(),
        key: Key {
            id: token.id,
            name,
            prefix: token.prefix,
            scopes,
            owner_id: user,
            owner: caller.label.clone(),
            created_at: token.created_at,
            last_used_at: None,
            expires_at,
        },
    })
}

/// Revokes a key: the next request with it is refused. One's own, or as admin or owner anybody's.
pub async fn revoke(app: &App, caller: &Caller, id: &str) -> Result<Key, Failure> {
    let missing = || names::missing("API key", "`hostler keys list`", id);
    let wanted: Uuid = id.trim().parse().ok().ok_or_else(missing)?;
    let known = list(app, caller).await?;
    let key = known.into_iter().find(|key| key.id == wanted);
    let key = key.ok_or_else(missing)?;
    if key.id != caller.token_id && !key.scopes.is_within(caller.scopes) {
        let message = format!(
            "the key \"{}\" may more than the credential you use: it is not yours to revoke with that",
            key.name
        );
        return Err(Failure::new(ErrorCode::Forbidden, message).hint(format!(
            "use the console, or a credential with: {}",
            key.scopes
        )));
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    if !tokens::revoke(&mut tx, caller.org_id, key.id, now).await? {
        return Err(missing());
    }
    let id = key.id.to_string();
    let detail = json!({"of": key.owner});
    let thing = thing(&id, &key.name);
    audit::record(&mut tx, caller, "key.revoke", thing, Some(detail), now).await?;
    app.store.commit(tx).await?;
    Ok(key)
}

/// The names of a set of scopes.
pub(crate) fn scope_names(scopes: Scopes) -> Vec<&'static str> {
    let held = Scope::ALL
        .into_iter()
        .filter(|scope| scopes.contains(*scope));
    held.map(Scope::name).collect()
}

/// The caller's token, unless it is a session; refused when it is a connected client's.
async fn credential(app: &App, caller: &Caller) -> Result<Option<WhoamiRow>, Failure> {
    let token = store::whoami::by_token(&app.store, caller.token_id).await?;
    match token.as_ref().and_then(|token| token.client_id.as_deref()) {
        // Our own command line acts for the person at the terminal.
        Some(client) if client != CLI => Err(Failure::new(
            ErrorCode::Forbidden,
            "a connected client cannot see, make or revoke API keys",
        )
        .hint("do it in the console (Settings > API keys) or with `hostler keys`")),
        Some(_) | None => Ok(token),
    }
}

/// When a key ends that a key makes: with its maker unless sooner. (A command line's own token is
/// renewed, so its hour says nothing.)
fn not_after(
    maker: Option<&WhoamiRow>,
    wanted: Option<UtcMillis>,
) -> Result<Option<UtcMillis>, Failure> {
    let ends = maker
        .filter(|maker| maker.client_id.is_none())
        .and_then(|maker| maker.expires_at);
    match (ends, wanted) {
        (Some(ends), Some(wanted)) if wanted > ends => Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!("the key you use ends at {ends}: it cannot make one that is good for longer"),
        )
        .hint("give fewer days, or use a credential without end")),
        (_, Some(wanted)) => Ok(Some(wanted)),
        (ends, None) => Ok(ends),
    }
}

fn thing<'a>(id: &'a str, name: &'a str) -> Thing<'a> {
    Thing {
        kind: "key",
        id,
        name,
    }
}

fn named(name: &str) -> Result<String, Failure> {
    let name = names::readable(name, LONGEST_NAME).map(str::to_owned);
    name.ok_or_else(|| {
        Failure::new(
            ErrorCode::InvalidArgument,
            format!("a key's name has 1 to {LONGEST_NAME} visible characters"),
        )
        .hint("name it after where it is used")
    })
}

fn life(days: Option<u32>) -> Result<Option<i64>, Failure> {
    match days {
        None => Ok(None),
        Some(days @ 1..=MOST_DAYS) => Ok(Some(i64::from(days) * DAY_MS)),
        Some(days) => Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!("a key cannot be good for {days} days"),
        )
        .hint(format!(
            "give 1 to {MOST_DAYS} days, or none for a key without end"
        ))),
    }
}

/// The scopes wanted, within the caller's.
fn scopes(caller: &Caller, wanted: Option<&[String]>) -> Result<Scopes, Failure> {
    let Some(wanted) = wanted else {
        return Ok(caller.scopes);
    };
    if wanted.is_empty() {
        let known = Scopes::all();
        return Err(Failure::new(
            ErrorCode::InvalidArgument,
            "a key without scopes is good for nothing",
        )
        .hint(format!("give at least one of: {known}")));
    }
    let mut scopes = Vec::new();
    for name in wanted {
        let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
        let scope = scope.ok_or_else(|| {
            Failure::new(
                ErrorCode::InvalidArgument,
                format!("there is no scope \"{}\"", names::shortened(name)),
            )
            .hint(format!("the scopes are: {}", Scopes::all()))
        })?;
        caller.require(scope)?;
        scopes.push(scope);
    }
    Ok(scopes.into_iter().collect())
}

fn view(row: TokenRow) -> Key {
    Key {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        scopes: Scopes::parse(&row.scopes),
        owner_id: row.user_id,
        owner: row.email,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Catalog;

    fn wanted(name: &str, scopes: &[&str], days: Option<u32>) -> CreateKey {
        CreateKey {
            name: name.to_owned(),
            scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            expires_in_days: days,
        }
    }

    /// Whoever presents this key.
    fn with(caller: &Caller, key: &Key) -> Caller {
        Caller {
            token_id: key.id,
            scopes: key.scopes,
            ..caller.clone()
        }
    }

    #[tokio::test]
    async fn a_key_is_outlived_by_none_that_it_makes() {
        let catalog = Catalog::new().await;
        let (app, owner) = (&catalog.app, catalog.caller());
        let week = wanted("week", &["tasks:read"], Some(7));
        let week = create(app, owner, week).await.unwrap().key;
        let caller = with(owner, &week);
        let read = |days| wanted("child", &["tasks:read"], days);
        let endless = create(app, &caller, read(None)).await.unwrap().key;
        assert_eq!(endless.expires_at, week.expires_at);
        let longer = create(app, &caller, read(Some(8))).await.unwrap_err();
        assert_eq!(longer.code, ErrorCode::InvalidArgument);
        let shorter = create(app, &caller, read(Some(1))).await.unwrap().key;
        assert!(shorter.expires_at < week.expires_at);
        // A key without end makes others without end.
        let own = create(app, owner, wanted("own", &["tasks:read"], None)).await;
        let caller = with(owner, &own.unwrap().key);
        let child = create(app, &caller, read(None)).await.unwrap().key;
        assert_eq!(child.expires_at, None);
    }

    #[tokio::test]
    async fn a_key_that_may_less_ends_itself_and_none_that_may_more() {
        let catalog = Catalog::new().await;
        let (app, owner) = (&catalog.app, catalog.caller());
        let all = wanted("all", &["tasks:read", "hosts:write"], None);
        let all = create(app, owner, all).await.unwrap().key;
        let small = create(app, owner, wanted("small", &["tasks:read"], None)).await;
        let small = small.unwrap().key;
        let caller = with(owner, &small);
        let refused = revoke(app, &caller, &all.id.to_string()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        revoke(app, &caller, &small.id.to_string()).await.unwrap();
        let left = list(app, owner).await.unwrap();
        assert_eq!(left.iter().map(|key| key.id).collect::<Vec<_>>(), [all.id]);
        revoke(app, owner, &all.id.to_string()).await.unwrap();
    }
}
