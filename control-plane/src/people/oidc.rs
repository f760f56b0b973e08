//! OpenID Connect: asking the provider that the server's operator configured who somebody is.
//!
//! Authorization code with PKCE, state and nonce, all derived from one secret that only the browser
//! holds (a cookie): nothing is kept here meanwhile, and another browser's answer fits nothing. The
//! provider's settings and keys are read anew each time, so keys it changed need nothing here. What
//! an identity opens is decided in `single_sign_on`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdTokenClaims, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreUserInfoClaims,
};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse as _,
};
use sha2::{Digest as _, Sha256};

use super::{Browser, Refused};
use crate::config::SingleSignOn;
use crate::fetch::{self, FetchError, Limits, Reach};
use crate::limits::{Bucket, address_key};
use crate::store::identities::IdentityRow;
use crate::{App, clock};

/// Most bytes of an answer of the provider.
const MOST_BYTES: usize = 256 << 10;

/// How long the provider is waited for, each time.
const WITHIN: Duration = Duration::from_secs(10);

/// How an identity token may be signed: by a key that the provider alone has. (A token signed with the
/// client's secret needs none of its keys, and the library panics at one of another length.)
const SIGNED_WITH: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The secret of one sign-in that was begun: 64 hex digits, in the browser's cookie.
#[derive(Clone)]
pub(crate) struct Begun(String);

/// Who somebody is, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) issuer: String,
    pub(super) subject: String,
    email: Option<String>,
    verified: bool,
    pub(super) name: Option<String>,
}

impl Identity {
    /// Their email, if the provider vouches for it.
    pub(super) fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.verified)
    }

    /// What is stored of it.
    pub(super) fn row(&self, now: UtcMillis) -> IdentityRow {
        IdentityRow {
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            email: self.email.clone(),
            created_at: now,
        }
    }
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

/// The provider's word for who sent this code: checked, fresh, and of this sign-in.
pub(super) async fn exchange(
    app: &App,
    settings: &SingleSignOn,
    begun: &Begun,
    code: &str,
) -> Result<Identity, Failure> {
    let failed = |error: &dyn std::error::Error| provider(settings, &chain(error));
    let metadata = discover(settings).await?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(settings.client_id.clone()),
        secret(settings),
    )
    .set_redirect_uri(redirect(app)?);
    let request = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .map_err(|error| failed(&error))?
        .set_pkce_verifier(PkceCodeVerifier::new(begun.derive("pkce")));
    let answer = request.request_async(&ask).await;
    let answer = answer.map_err(|error| failed(&error))?;
    let token = answer
        .id_token()
        .ok_or_else(|| provider(settings, "it sent no identity token"))?;
    let nonce = Nonce::new(begun.derive("nonce"));
    let verifier = client.id_token_verifier().set_allowed_algs(SIGNED_WITH);
    let claims = token.claims(&verifier, &nonce);
    let claims = claims.map_err(|error| failed(&error))?;
    let mut told = identity(settings, claims);
    if told.email.is_none() {
        // Some providers tell it only where the access token is shown (OpenID Connect Core 5.4).
        let subject = Some(claims.subject().clone());
        if let Ok(request) = client.user_info(answer.access_token().clone(), subject) {
            let more: CoreUserInfoClaims =
                (request.request_async(&ask).await).map_err(|error| failed(&error))?;
            told.email = more.email().map(|email| email.to_string());
            told.verified = vouched(settings, more.email_verified());
            let name = more.name().and_then(|name| name.get(None));
            told.name = told.name.or_else(|| name.map(|name| name.to_string()));
        }
    }
    Ok(told)
}

fn identity(settings: &SingleSignOn, claims: &CoreIdTokenClaims) -> Identity {
    let name = claims.name().and_then(|name| name.get(None));
    Identity {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        email: claims.email().map(|email| email.to_string()),
        verified: vouched(settings, claims.email_verified()),
        name: name.map(|name| name.to_string()),
    }
}

fn vouched(settings: &SingleSignOn, said: Option<bool>) -> bool {
    said.unwrap_or(settings.emails_are_verified)
}

/// An error with what is behind it, for the operator's log.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

async fn discover(settings: &SingleSignOn) -> Result<CoreProviderMetadata, Failure> {
    let issuer = IssuerUrl::new(settings.issuer.clone());
    let issuer = issuer.map_err(|error| provider(settings, &error.to_string()))?;
    let found = CoreProviderMetadata::discover_async(issuer, &ask).await;
    found.map_err(|error| provider(settings, &chain(&error)))
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

fn provider(settings: &SingleSignOn, words: &str) -> Failure {
    tracing::warn!(issuer = %settings.issuer, %words, "single sign-on");
    Failure::new(
        ErrorCode::HostError,
        format!("signing in with {} did not work", settings.label),
    )
    .hint("Try again. If it goes on, the server's operator finds the reason in its log.")
}
