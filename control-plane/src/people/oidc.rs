//! Single sign-on: signing in with an OpenID Connect provider that the server's operator configured.
//!
//! Authorization code with PKCE, state and nonce, all derived from one secret that only the browser
//! holds (a cookie): nothing is kept here meanwhile, and another browser's answer fits nothing. Who
//! somebody is at the provider (issuer and subject) decides; an email, even a verified one, never
//! opens an account that exists: it is linked by somebody who is signed in to it. Without an account,
//! an invitation of the verified email lets a person in, or its domain, where that is configured.

use std::time::Duration;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{OrgId, UserId};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdTokenClaims, CoreProviderMetadata,
};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Browser, Refused, acting, invitations, links};
use crate::audit::{self, Thing};
use crate::auth::session::{self, Visitor};
use crate::auth::{Caller, Role};
use crate::config::SingleSignOn;
use crate::fetch::{self, FetchError, Limits, Reach};
use crate::limits::{Bucket, address_key};
use crate::store::identities;
use crate::store::links::LinkRow;
use crate::{App, clock, store};

/// Most bytes of an answer of the provider.
const MOST_BYTES: usize = 256 << 10;

/// How long the provider is waited for, each time.
const WITHIN: Duration = Duration::from_secs(10);

/// The secret of one sign-in that was begun: 64 hex digits, in the browser's cookie.
#[derive(Clone)]
pub(crate) struct Begun(String);

/// Who somebody is, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    issuer: String,
    subject: String,
    email: Option<String>,
    verified: bool,
    name: Option<String>,
}

impl Begun {
    /// A fresh one.
    pub(crate) fn fresh() -> Self {
        Self(hex::encode(clock::random::<32>()))
    }

    /// One that a browser brings.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let good = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| Self(text.to_owned()))
    }

    /// For the cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether an answer's state is of this one.
    pub(crate) fn owns(&self, state: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.derive("state")
            .as_bytes()
            .ct_eq(state.as_bytes())
            .into()
    }

    fn derive(&self, what: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(b"hostler single sign-on\0");
        digest.update(what.as_bytes());
        digest.update(b"\0");
        digest.update(self.0.as_bytes());
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }
}

/// Where the browser has to go to sign in at the provider.
pub(crate) async fn begin(
    app: &App,
    settings: &SingleSignOn,
    begun: &Begun,
    browser: Browser<'_>,
) -> Result<String, Refused> {
    let key = address_key(browser.peer.address);
    app.limits.take(Bucket::SingleSignOn, &key, clock::wall())?;
    let metadata = discover(settings).await?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(settings.client_id.clone()),
        secret(settings),
    )
    .set_redirect_uri(redirect(app)?);
    let verifier = PkceCodeVerifier::new(begun.derive("pkce"));
    let (state, nonce) = (begun.derive("state"), begun.derive("nonce"));
    let mut request = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        )
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    for scope in &settings.scopes {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    Ok(request.url().0.into())
}

/// Signs somebody in by the provider's answer; `invitation` is the link they came with.
pub(crate) async fn sign_in(
    app: &App,
    settings: &SingleSignOn,
    begun: &Begun,
    code: &str,
    invitation: Option<&LinkRow>,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let identity = exchange(app, settings, begun, code).await?;
    let known = identities::user(&app.store, &identity.issuer, &identity.subject).await?;
    match known {
        Some(user) => known_person(app, user, invitation, browser).await,
        None => new_person(app, settings, &identity, invitation, browser).await,
    }
}

/// Lets a visitor sign in by the provider from now on.
pub(crate) async fn link(
    app: &App,
    settings: &SingleSignOn,
    begun: &Begun,
    code: &str,
    visitor: &Visitor,
) -> Result<(), Refused> {
    let identity = exchange(app, settings, begun, code).await?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let (issuer, subject) = (&identity.issuer, &identity.subject);
    match identities::insert(&mut tx, issuer, subject, visitor.user_id, now).await {
        Err(error) if error.is_duplicate() => {
            let words = "that identity belongs to an account already";
            return Err(Failure::new(ErrorCode::Conflict, words).into());
        }
        other => other?,
    }
    note(
        &mut tx,
        &visitor.caller,
        &visitor.email,
        "member.link_identity",
        issuer,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(())
}

async fn known_person(
    app: &App,
    user: UserId,
    invitation: Option<&LinkRow>,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let account = store::passwords::by_user(&app.store, user).await?;
    let account = account.ok_or_else(|| not_let_in("this account is gone"))?;
    let orgs = store::sessions::memberships(&app.store, user).await?;
    let invitation = invitation.filter(|link| invitations::is_for(link, &account.email));
    if orgs.is_empty() && invitation.is_none() {
        return Err(not_let_in("you belong to no organization any more").into());
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let org = invitation.map(|link| link.org_id);
    let (headers, peer) = (browser.headers, browser.peer);
    let (id, cookie) = session::begin_in(&mut tx, user, org, headers, peer).await?;
    if let Some(link) = invitation {
        links::spend(&mut tx, links::LinkKind::Invitation, link, now).await?;
        invitations::join(&mut tx, link, user, &account.email, id, browser, now).await?;
    }
    for org in orgs {
        let role = Role::from_word(&org.role).unwrap_or(Role::Member);
        let caller = acting(org.org_id, user, role, id, &account.email, peer);
        note(
            &mut tx,
            &caller,
            &account.email,
            "member.sign_in",
            "single sign-on",
        )
        .await?;
    }
    app.store.commit(tx).await?;
    Ok(cookie)
}

async fn new_person(
    app: &App,
    settings: &SingleSignOn,
    identity: &Identity,
    invitation: Option<&LinkRow>,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let email = identity.email.as_deref().filter(|_| identity.verified);
    let email = email.ok_or_else(|| {
        not_let_in("the provider does not say that your email address is verified")
    })?;
    let email = super::email(email)?;
    if store::passwords::by_email(&app.store, &email)
        .await?
        .is_some()
    {
        let words = format!("there is already an account with the email {email}");
        return Err(Failure::new(ErrorCode::Conflict, words)
            .hint(
                "sign in to it with its password, then link this provider under Settings > Profile",
            )
            .into());
    }
    let invitation = invitation.filter(|link| invitations::is_for(link, &email));
    let org = match invitation {
        Some(link) => link.org_id,
        None => joined_by_domain(app, settings, &email).await?,
    };
    let now = clock::wall();
    let user = UserId::fresh(now, &clock::id_entropy());
    let name = identity.name.as_deref().unwrap_or(&email);
    let name = super::name(name, "a person's").unwrap_or_else(|_| email.clone());
    let mut tx = app.store.begin().await?;
    store::members::insert_user(&mut tx, user, &email, &name, now).await?;
    let (issuer, subject) = (&identity.issuer, &identity.subject);
    identities::insert(&mut tx, issuer, subject, user, now).await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let (id, cookie) = session::begin_in(&mut tx, user, Some(org), headers, peer).await?;
    if let Some(link) = invitation {
        links::spend(&mut tx, links::LinkKind::Invitation, link, now).await?;
        invitations::join(&mut tx, link, user, &email, id, browser, now).await?;
    } else {
        store::members::insert_member(&mut tx, org, user, Role::Member.word(), now).await?;
        let caller = acting(org, user, Role::Member, id, &email, peer);
        note(&mut tx, &caller, &email, "member.join", "single sign-on").await?;
    }
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// The organization that a new person's domain lets them into.
async fn joined_by_domain(
    app: &App,
    settings: &SingleSignOn,
    email: &str,
) -> Result<OrgId, Failure> {
    let domain = email.rsplit('@').next().unwrap_or_default();
    let mut allowed = settings.auto_join_domains.iter();
    if !allowed.any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
        return Err(not_let_in(&format!("{email} is not invited")));
    }
    let first = store::members::first_owner(&app.store).await?;
    let first = first.map(|(org, _)| org);
    first.ok_or_else(|| not_let_in("there is no organization to join"))
}

/// The provider's word for who sent this code: checked, fresh, and of this sign-in.
async fn exchange(
    app: &App,
    settings: &SingleSignOn,
    begun: &Begun,
    code: &str,
) -> Result<Identity, Failure> {
    let metadata = discover(settings).await?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(settings.client_id.clone()),
        secret(settings),
    )
    .set_redirect_uri(redirect(app)?);
    let request = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .map_err(|error| provider(settings, &error.to_string()))?
        .set_pkce_verifier(PkceCodeVerifier::new(begun.derive("pkce")));
    let answer = request.request_async(&ask).await;
    let answer = answer.map_err(|error| provider(settings, &error.to_string()))?;
    let token = answer
        .id_token()
        .ok_or_else(|| provider(settings, "it sent no identity token"))?;
    let nonce = Nonce::new(begun.derive("nonce"));
    let claims = token.claims(&client.id_token_verifier(), &nonce);
    let claims = claims.map_err(|error| provider(settings, &error.to_string()))?;
    Ok(identity(claims))
}

fn identity(claims: &CoreIdTokenClaims) -> Identity {
    let name = claims.name().and_then(|name| name.get(None));
    Identity {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        email: claims.email().map(|email| email.to_string()),
        verified: claims.email_verified() == Some(true),
        name: name.map(|name| name.to_string()),
    }
}

async fn discover(settings: &SingleSignOn) -> Result<CoreProviderMetadata, Failure> {
    let issuer = IssuerUrl::new(settings.issuer.clone());
    let issuer = issuer.map_err(|error| provider(settings, &error.to_string()))?;
    let found = CoreProviderMetadata::discover_async(issuer, &ask).await;
    found.map_err(|error| provider(settings, &error.to_string()))
}

/// One request to the provider; its operator chose the address, so it may be anywhere.
async fn ask(request: HttpRequest) -> Result<HttpResponse, FetchError> {
    let limits = Limits {
        reach: Reach::Anywhere,
        most_bytes: MOST_BYTES,
        reached_within: WITHIN,
        within: WITHIN,
    };
    fetch::send(request, limits).await
}

fn redirect(app: &App) -> Result<RedirectUrl, Failure> {
    let url = format!("{}/oidc/callback", app.server.url);
    RedirectUrl::new(url).map_err(|error| {
        Failure::new(ErrorCode::HostError, "the server's own URL cannot be used")
            .detail(error.to_string())
    })
}

fn secret(settings: &SingleSignOn) -> Option<ClientSecret> {
    settings.client_secret.clone().map(ClientSecret::new)
}

async fn note(
    tx: &mut store::Tx,
    caller: &Caller,
    email: &str,
    action: &str,
    by: &str,
) -> Result<(), store::StoreError> {
    let id = caller.user_id.to_string();
    let thing = Thing {
        kind: "member",
        id: &id,
        name: email,
    };
    let detail = Some(json!({"by": by}));
    audit::record(tx, caller, action, thing, detail, clock::wall()).await
}

fn not_let_in(words: &str) -> Failure {
    Failure::new(ErrorCode::Forbidden, words)
        .hint("Ask an admin for an invitation, open its link, and sign in from there.")
}

fn provider(settings: &SingleSignOn, words: &str) -> Failure {
    tracing::warn!(issuer = %settings.issuer, %words, "single sign-on");
    Failure::new(
        ErrorCode::HostError,
        format!("signing in with {} did not work", settings.label),
    )
    .hint("Try again. If it goes on, the server's operator finds the reason in its log.")
}
