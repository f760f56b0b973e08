//! The authorization request, and what a person decides about it.
//!
//! Nothing is sent to an address before the client is known and the address is one of its own: until
//! then a problem is a page. After that every problem goes back to the client, with its `state` and
//! our `iss` (RFC 9207). The person's decision is checked against the whole request once more.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use hostler_proto::time::UtcMillis;
use serde_json::json;
use uuid::Uuid;

use super::client::{self, Client, ClientError};
use super::document::DocumentError;
use super::error::{Code, Refusal, printable};
use super::params::Params;
use super::{address, redirect};
use crate::auth::session::Visitor;
use crate::auth::{Caller, Scopes, Secret, SecretKind};
use crate::edge::Peer;
use crate::store::grants::{self, CodeRow, NewGrant};
use crate::store::{self, Tx};
use crate::{App, audit, clock};

/// A code's life, milliseconds.
const CODE_MS: i64 = 60_000;

/// A registered client somebody uses stays known for so long after, milliseconds.
pub(super) const USED_MS: i64 = 90 * 24 * 60 * 60_000;

/// Length of an S256 challenge: 32 bytes in base64url (RFC 7636 section 4.2).
const CHALLENGE_BYTES: usize = 43;

/// A request that a person can be asked about.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) client: Client,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Scopes,
    state: Option<String>,
    challenge: String,
    /// Base address, as the client names it.
    issuer: String,
}

/// A request that no person is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Told to the person: there is nobody else to tell.
    Page(String),
    /// Told to the client.
    Back(Back),
    /// The person has to sign in first.
    SignIn,
}

/// A problem to tell a client by way of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Back {
    /// Where to send the browser.
    pub(crate) location: String,
    /// What is wrong.
    pub(crate) words: String,
    /// The site it leads to, when a stranger followed the link: anybody can register a site, so nobody
    /// is sent to one before signing in (RFC 9700 section 4.11.2). Their own machine is no such site.
    pub(crate) site: Option<String>,
}

/// Reads an authorization request.
pub(crate) async fn read(
    app: &App,
    params: Result<Params, Refusal>,
    issuer: String,
    peer: Peer,
    visitor: Option<&Visitor>,
    now: UtcMillis,
) -> Result<Asked, Refused> {
    let page = |refusal: Refusal| Refused::Page(refusal.words);
    let params = params.map_err(page)?;
    let id = params.need("client_id").map_err(page)?;
    let redirect_uri = params.need("redirect_uri").map_err(page)?;
    // A stranger must not make this server fetch anything.
    if client::is_address(id) && visitor.is_none() {
        return Err(Refused::SignIn);
    }
    let client = client::find_answered_at(app, id, redirect_uri, peer, now)
        .await
        .map_err(|error| told(&error))?;
    if !client.may_answer_at(redirect_uri) {
        let words = format!(
            "{} is not registered to be answered at this address",
            client.name
        );
        return Err(Refused::Page(words));
    }
    let back = Answer {
        redirect_uri,
        state: params.get("state"),
        issuer: &issuer,
    };
    let unasked = visitor.is_none() && !redirect::is_local(redirect_uri);
    let refuse = |refusal: Refusal| {
        Refused::Back(Back {
            location: back.refusal(&refusal),
            site: unasked.then(|| redirect::shown(redirect_uri)),
            words: refusal.words,
        })
    };
    let scopes = wanted(app, &params).map_err(refuse)?;
    let challenge = challenge(&params).map_err(refuse)?.to_owned();
    prompt(&params, visitor).map_err(refuse)?;
    if visitor.is_none() {
        return Err(Refused::SignIn);
    }
    Ok(Asked {
        redirect_uri: redirect_uri.to_owned(),
        scopes,
        state: params.get("state").map(str::to_owned),
        challenge,
        client,
        issuer,
    })
}

/// The person allows it these scopes in one of their organizations: where to send the browser.
pub(crate) async fn allow(
    app: &App,
    visitor: &Visitor,
    org: OrgId,
    asked: &Asked,
    scopes: Scopes,
    now: UtcMillis,
) -> Result<String, Failure> {
    let secret = Secret::mint(SecretKind::AuthorizationCode, &clock::random());
    let mut tx = app.store.begin().await?;
    let consent = Consent {
        visitor,
        org,
        client_id: &asked.client.id,
        client_name: &asked.client.name,
        scopes,
    };
    let grant_id = consent.record(app, &mut tx, now).await?;
    let code = CodeRow {
        hash: secret.hash().to_string(),
        grant_id,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge.clone(),
        expires_at: now.plus_ms(CODE_MS),
        spent_at: None,
    };
    grants::insert_code(&mut tx, &code).await?;
    app.store.commit(tx).await?;
    Ok(asked.answer().with(&[("code", Some(secret.expose()))]))
}

/// The person refuses: where to send the browser.
pub(crate) fn deny(asked: &Asked) -> String {
    let words = "the person did not allow it";
    asked
        .answer()
        .refusal(&Refusal::new(Code::AccessDenied, words))
}

/// What somebody allows to whom.
pub(super) struct Consent<'a> {
    pub(super) visitor: &'a Visitor,
    pub(super) org: OrgId,
    pub(super) client_id: &'a str,
    pub(super) client_name: &'a str,
    pub(super) scopes: Scopes,
}

impl Consent<'_> {
    /// Stores the grant, with its entry in the audit log.
    pub(super) async fn record(
        &self,
        app: &App,
        tx: &mut Tx,
        now: UtcMillis,
    ) -> Result<Uuid, Failure> {
        let caller = self.caller()?;
        let grant = NewGrant {
            id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
            org_id: self.org,
            user_id: caller.user_id,
            client_id: self.client_id.to_owned(),
            client_name: self.client_name.to_owned(),
            scopes: self.scopes.to_string(),
            audience: app.server.url.clone(),
            address: caller.via.address.map(|address| address.to_string()),
            created_at: now,
        };
        grants::insert(tx, &grant).await?;
        let until = now.plus_ms(USED_MS);
        store::clients::used(tx, self.client_id, now, until).await?;
        let thing = audit::Thing {
            kind: "client",
            id: &grant.id.to_string(),
            name: self.client_name,
        };
        let detail = json!({"clientId": self.client_id, "scopes": grant.scopes});
        audit::record(tx, &caller, "client.allow", thing, Some(detail), now).await?;
        Ok(grant.id)
    }

    /// The person in the organization they chose, which must be one of theirs.
    fn caller(&self) -> Result<Caller, Failure> {
        let mut orgs = self.visitor.orgs.iter();
        let chosen = orgs.find(|org| org.org_id == self.org).ok_or_else(|| {
            Failure::new(
                ErrorCode::NotFound,
                "you do not belong to that organization",
            )
            .hint("go back and choose one of yours")
        })?;
        if self.scopes == Scopes::default() {
            return Err(
                Failure::new(ErrorCode::InvalidArgument, "nothing was allowed")
                    .hint("go back and leave at least one permission on, or refuse"),
            );
        }
        Ok(Caller {
            org_id: chosen.org_id,
            role: chosen.role,
            ..self.visitor.caller.clone()
        })
    }
}

impl Asked {
    fn answer(&self) -> Answer<'_> {
        Answer {
            redirect_uri: &self.redirect_uri,
            state: self.state.as_deref(),
            issuer: &self.issuer,
        }
    }
}

/// An answer to the client by way of the browser.
struct Answer<'a> {
    redirect_uri: &'a str,
    state: Option<&'a str>,
    issuer: &'a str,
}

impl Answer<'_> {
    fn with(&self, parameters: &[(&str, Option<&str>)]) -> String {
        let always = [("state", self.state), ("iss", Some(self.issuer))];
        redirect::with(self.redirect_uri, &[parameters, &always].concat())
    }

    fn refusal(&self, refusal: &Refusal) -> String {
        let words = printable(&refusal.words);
        self.with(&[
            ("error", Some(refusal.code.name())),
            ("error_description", Some(&words)),
        ])
    }
}

/// What stands in the request besides client and address: response type, resource, scopes.
fn wanted(app: &App, params: &Params) -> Result<Scopes, Refusal> {
    if params.get("request").is_some() {
        let words = "request objects are not taken";
        return Err(Refusal::new(Code::RequestNotSupported, words));
    }
    if params.get("request_uri").is_some() {
        let words = "request objects are not taken";
        return Err(Refusal::new(Code::RequestUriNotSupported, words));
    }
    if params.need("response_type")? != "code" {
        let words = "response_type must be code";
        return Err(Refusal::new(Code::UnsupportedResponseType, words));
    }
    if params
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        let words = "response_mode must be query";
        return Err(Refusal::new(Code::InvalidRequest, words));
    }
    resource(app, params)?;
    scopes(params)
}

/// Refuses tokens for anybody else's resource (RFC 8707 section 2). Left out, it is ours: there is
/// no other.
pub(super) fn resource(app: &App, params: &Params) -> Result<(), Refusal> {
    let own = &app.server.url;
    if params
        .all("resource")
        .all(|resource| address::is_ours(own, resource))
    {
        return Ok(());
    }
    let words = format!("resource must be {own}/mcp or {own}/api/v2/agent/mcp");
    Err(Refusal::new(Code::InvalidTarget, words))
}

/// The scopes asked for; all when none are named. Names that are not ours are left out.
pub(super) fn scopes(params: &Params) -> Result<Scopes, Refusal> {
    let Some(text) = params.get("scope") else {
        return Ok(Scopes::all());
    };
    let scopes = Scopes::parse(text);
    if scopes == Scopes::default() {
        let words = format!("none of these scopes is known; there are {}", Scopes::all());
        return Err(Refusal::new(Code::InvalidScope, words));
    }
    Ok(scopes)
}

fn challenge(params: &Params) -> Result<&str, Refusal> {
    let invalid = |words: &str| Refusal::new(Code::InvalidRequest, words);
    let challenge = params
        .get("code_challenge")
        .ok_or_else(|| invalid("code_challenge is missing: PKCE is required"))?;
    if params.get("code_challenge_method") != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    let sound = challenge.len() == CHALLENGE_BYTES
        && challenge
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    sound
        .then_some(challenge)
        .ok_or_else(|| invalid("code_challenge is no SHA-256 in base64url"))
}

/// `none` never shows a page (OpenID Connect Core section 3.1.2.1); consent is always asked for, so
/// the other values change nothing. Neither they nor `max_age` make somebody sign in anew: without an
/// identity token, which is not given here, no client could tell whether they did.
fn prompt(params: &Params, visitor: Option<&Visitor>) -> Result<(), Refusal> {
    let prompts = params.get("prompt").unwrap_or_default();
    let prompts: Vec<&str> = prompts.split_ascii_whitespace().collect();
    if !prompts.contains(&"none") {
        return Ok(());
    }
    Err(match (prompts.len(), visitor) {
        (1, None) => Refusal::new(Code::LoginRequired, "the person is not signed in"),
        (1, Some(_)) => Refusal::new(Code::ConsentRequired, "the person has to be asked"),
        _ => Refusal::new(Code::InvalidRequest, "prompt none stands alone"),
    })
}

fn told(error: &ClientError) -> Refused {
    match error {
        ClientError::Catalog(source) | ClientError::Document(DocumentError::Catalog(source)) => {
            tracing::error!(%source, "a client cannot be looked up");
        }
        ClientError::Unknown | ClientError::Document(_) => {}
    }
    Refused::Page(error.to_string())
}
