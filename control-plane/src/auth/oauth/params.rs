//! Parameters of the OAuth endpoints: each at most once, of sound size, without control characters.
//!
//! RFC 6749 section 3.1: an empty one counts as left out, an unknown one is ignored, a repeated one
//! is an error; `resource` alone may be repeated (RFC 8707 section 2).

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MOST_BODY_BYTES;
use super::error::{Code, Refusal};

/// Most bytes of one value; a `state` may be long.
const MOST_VALUE_BYTES: usize = 4096;

/// Most parameters of one request.
const MOST_PARAMETERS: usize = 50;

/// The parameters of one request.
#[derive(Clone, Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query or a form.
    pub(crate) fn read(text: &[u8]) -> Result<Self, Refusal> {
        let pairs = form_urlencoded::parse(text).into_owned();
        Self::of(pairs.take(MOST_PARAMETERS + 1).collect())
    }

    /// Takes what a form held.
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Result<Self, Refusal> {
        if pairs.len() > MOST_PARAMETERS {
            return Err(invalid("there are too many parameters"));
        }
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| *name != "resource");
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("a parameter is there twice"));
        }
        for (name, value) in &pairs {
            if value.len() > MOST_VALUE_BYTES {
                return Err(invalid("a parameter is too long"));
            }
            if [name, value]
                .iter()
                .any(|text| text.chars().any(char::is_control))
            {
                return Err(invalid("a parameter holds control characters"));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; none when it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The value of a parameter that has to be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .ok_or_else(|| invalid(format!("{name} is missing")))
    }

    /// Every value of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// Reads a form from a request's body, and from nowhere else: what stands in the address is kept
/// in logs and histories.
pub(super) async fn form(request: Request<Body>) -> Result<Params, Refusal> {
    if request.uri().query().is_some() {
        let words = "parameters belong into the body; what stood in the URL is no longer secret";
        return Err(invalid(words));
    }
    let media = request.headers().get(header::CONTENT_TYPE);
    let media = media.and_then(|media| media.to_str().ok()).unwrap_or("");
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(invalid(
            "the body must be application/x-www-form-urlencoded",
        ));
    }
    let body = axum::body::to_bytes(request.into_body(), MOST_BODY_BYTES).await;
    let body = body.map_err(|error| invalid(format!("the body cannot be read: {error}")))?;
    Params::read(&body)
}

/// Who asks: `client_id`, or the name of HTTP Basic with nothing as password (RFC 6749 sections
/// 2.3.1 and 3.2.1). Clients have no secrets here.
pub(super) fn client_id(headers: &HeaderMap, params: &Params) -> Result<String, Refusal> {
    let given = params.get("client_id");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return given
            .map(str::to_owned)
            .ok_or_else(|| invalid("client_id is missing"));
    };
    let named = value.to_str().ok().and_then(basic_name);
    match named {
        Some(name) if given.is_none_or(|given| given == name) => Ok(name),
        _ => Err(Refusal::new(
            Code::InvalidClient,
            "clients have no secret here: send client_id alone",
        )),
    }
}

fn basic_name(value: &str) -> Option<String> {
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, secret) = text.split_once(':')?;
    let pair = format!("name={name}");
    let (_, name) = form_urlencoded::parse(pair.as_bytes()).next()?;
    (scheme.eq_ignore_ascii_case("basic") && secret.is_empty()).then(|| name.into_owned())
}

fn invalid(words: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidRequest, words)
}
