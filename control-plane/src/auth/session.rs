//! Signed-in browsers: a cookie that holds a secret, and the row that holds its hash.
//!
//! A session is begun with a fresh secret at every sign-in, so nobody can be made to use one that
//! somebody else knows. What a form must repeat to prove that it is ours (`csrf`) is derived from the
//! secret and stored nowhere. Passwords and who may sign in are elsewhere.

use axum::http::{HeaderMap, HeaderValue, header};
use hostler_proto::error::Failure;
use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::browser::Mark;
use super::{Caller, Role, Scopes, Secret, SecretKind, Via, cookie};
use crate::edge::Peer;
use crate::store::Tx;
use crate::store::sessions::{MembershipRow, NewSession, SessionRow};
use crate::{App, clock, store};

/// A session ends so long after it began, milliseconds.
const LIFE_MS: i64 = 30 * 24 * 3_600_000;

/// A session ends after so long without a request, milliseconds.
const IDLE_MS: i64 = 7 * 24 * 3_600_000;

/// A session's last use is noted at most this often, milliseconds.
const NOTE_EVERY_MS: i64 = 60_000;

/// At most so much of a browser's name is kept, characters.
const AGENT_CHARACTERS: usize = 200;

/// Somebody with a signed-in browser.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The session.
    pub session_id: Uuid,
    /// The person.
    pub user_id: UserId,
    /// Their name.
    pub name: String,
    /// Their email.
    pub email: String,
    /// The organizations they belong to, by name; at least one.
    pub orgs: Vec<Membership>,
    /// As whom they work: in the organization they chose, with all scopes.
    pub caller: Caller,
    /// What each form of theirs must repeat, of the organization they work in: a form that another
    /// tab still shows for another organization does nothing in this one.
    pub csrf: String,
    /// What their last form did, for the next page to say.
    pub said: Option<String>,
}

/// A person's place in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub org_id: OrgId,
    /// Its name.
    pub name: String,
    /// Their role in it.
    pub role: Role,
    /// What the forms of its pages repeat.
    csrf: String,
}

impl Visitor {
    /// Their place in the organization they work in.
    pub fn membership(&self) -> Option<&Membership> {
        let mut orgs = self.orgs.iter();
        orgs.find(|org| org.org_id == self.caller.org_id)
    }

    /// The organization whose pages have forms with this token; none when it is no token of theirs.
    pub(crate) fn org_of_form(&self, csrf: &str) -> Option<&Membership> {
        let same = |org: &&Membership| org.csrf.as_bytes().ct_eq(csrf.as_bytes()).into();
        self.orgs.iter().find(same)
    }
}

/// Begins a session; the `Set-Cookie` to answer with.
pub async fn begin(
    app: &App,
    user: UserId,
    org: Option<OrgId>,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<HeaderValue, Failure> {
    let mut tx = app.store.begin().await?;
    let (_, cookie) = begin_in(&mut tx, user, org, headers, peer).await?;
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// Begins a session in the place of whatever session the browser had; its id and the `Set-Cookie` to
/// answer with once the transaction is committed.
pub(crate) async fn begin_in(
    tx: &mut Tx,
    user: UserId,
    org: Option<OrgId>,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<(Uuid, HeaderValue), Failure> {
    let now = clock::wall();
    let secret = Secret::mint(SecretKind::Session, &clock::random());
    let agent = headers.get(header::USER_AGENT);
    let session = NewSession {
        id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
        hash: secret.hash().to_string(),
        user_id: user,
        org_id: org,
        created_at: now,
        expires_at: now.plus_ms(LIFE_MS),
        agent: agent.map(|agent| {
            let text = String::from_utf8_lossy(agent.as_bytes());
            text.chars().take(AGENT_CHARACTERS).collect()
        }),
        address: Some(peer.address.to_string()),
    };
    if let Some(old) = presented(headers, peer) {
        store::sessions::delete_by_hash(tx, &old.hash().to_string()).await?;
    }
    store::sessions::delete_ended(tx, now, now.plus_ms(-IDLE_MS)).await?;
    store::sessions::insert(tx, &session).await?;
    if let Some(mark) = Mark::of(headers, peer) {
        store::browsers::remember(tx, user, &mark.hash(), now).await?;
    }
    let cookie = cookie::SESSION.set(secret.expose(), Some(LIFE_MS / 1_000), headers, peer)?;
    Ok((session.id, cookie))
}

/// Whose browser sent a request; none when it is not signed in, or no longer.
pub async fn visitor(
    app: &App,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<Option<Visitor>, Failure> {
    let Some(secret) = presented(headers, peer) else {
        return Ok(None);
    };
    let row = store::sessions::by_hash(&app.store, &secret.hash().to_string()).await?;
    let now = clock::wall();
    let Some(row) = row.filter(|row| is_good(row, now)) else {
        return Ok(None);
    };
    let orgs = store::sessions::memberships(&app.store, row.user_id).await?;
    let orgs = orgs.into_iter().filter_map(|org| membership(org, &secret));
    let orgs: Vec<Membership> = orgs.collect();
    let chosen = orgs.iter().find(|org| Some(org.org_id) == row.org_id);
    let Some(chosen) = chosen.or(orgs.first()) else {
        return Ok(None);
    };
    if now.since(row.last_seen_at) >= NOTE_EVERY_MS {
        note_use(app, row.id, now);
    }
    let csrf = chosen.csrf.clone();
    let caller = Caller {
        org_id: chosen.org_id,
        user_id: row.user_id,
        role: chosen.role,
        token_id: row.id,
        scopes: Scopes::all(),
        label: row.email.clone(),
        via: Via {
            client: "console".to_owned(),
            address: Some(peer.address),
        },
    };
    Ok(Some(Visitor {
        session_id: row.id,
        user_id: row.user_id,
        name: row.name,
        email: row.email,
        orgs,
        caller,
        csrf,
        said: crate::console::flash::said(headers),
    }))
}

/// Ends a visitor's session; the `Set-Cookie` that makes the browser forget it.
pub async fn end(
    app: &App,
    visitor: &Visitor,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<HeaderValue, Failure> {
    let mut tx = app.store.begin().await?;
    store::sessions::delete(&mut tx, visitor.session_id).await?;
    app.store.commit(tx).await?;
    cookie::SESSION.clear(headers, peer)
}

pub(crate) fn is_good(row: &SessionRow, now: UtcMillis) -> bool {
    row.expires_at > now && now.since(row.last_seen_at) < IDLE_MS
}

fn membership(row: MembershipRow, secret: &Secret) -> Option<Membership> {
    Some(Membership {
        csrf: csrf_of(secret, row.org_id),
        org_id: row.org_id,
        name: row.name,
        role: Role::from_word(&row.role)?,
    })
}

fn presented(headers: &HeaderMap, peer: Peer) -> Option<Secret> {
    let secret = Secret::read(cookie::SESSION.read(headers, peer)?)?;
    (secret.kind() == SecretKind::Session).then_some(secret)
}

fn csrf_of(secret: &Secret, org: OrgId) -> String {
    let mut digest = Sha256::new();
    digest.update(b"hostler csrf\0");
    digest.update(org.0.as_bytes());
    digest.update(secret.expose().as_bytes());
    hex::encode(digest.finalize())
}

/// Notes the use of a session beside the request, which does not wait for it.
fn note_use(app: &App, id: Uuid, now: UtcMillis) {
    let store = app.store.clone();
    app.in_background(async move {
        let noted = async {
            let mut tx = store.begin().await?;
            store::sessions::touch(&mut tx, id, now).await?;
            store.commit(tx).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a session's use was not noted");
        }
    });
}
