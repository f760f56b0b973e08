//! The program as an OAuth client of its control plane: refresh (RFC 6749 section 6), revocation
//! (RFC 7009) and the device flow (RFC 8628).
//!
//! Every request goes to the address the person named and follows no redirect, so a secret reaches
//! nobody else. Each has a time limit. It saves nothing.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// The program's own client, which every control plane knows.
pub(crate) const CLIENT_ID: &str = "hostler-cli";

/// Time for one request.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// The grant type of the device flow, RFC 8628 section 3.4.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How much longer to wait between questions when told to slow down, seconds (RFC 8628 section 3.5).
const SLOWER: u64 = 5;

/// Longest wait between questions to a control plane that does not answer, seconds: whoever agrees
/// while it starts again should not wait a minute for it.
const MOST_APART: u64 = 20;

/// A control plane as a token server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    url: String,
    agent: ureq::Agent,
}

/// Tokens as they come (RFC 6749 section 5.1).
#[derive(Clone, Deserialize)]
pub(crate) struct Granted {
    /// The access token.
    pub(crate) access_token: String,
    /// The refresh token; when none comes the old one stays good.
    #[serde(default)]
    pub(crate) refresh_token: Option<String>,
    /// How long the access token is good, seconds.
    #[serde(default = "an_hour")]
    pub(crate) expires_in: i64,
}

/// A device flow that was begun (RFC 8628 section 3.2).
#[derive(Clone, Deserialize)]
pub(crate) struct Device {
    /// What to ask with.
    #[serde(rename = "device_code")]
    pub(crate) code: String,
    /// What the person types.
    pub(crate) user_code: String,
    /// Where they type it.
    pub(crate) verification_uri: String,
    /// The same with the code in it.
    #[serde(default)]
    pub(crate) verification_uri_complete: Option<String>,
    /// How long the codes are good, seconds.
    pub(crate) expires_in: u64,
    /// Time between questions, seconds.
    #[serde(default = "five")]
    pub(crate) interval: u64,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// The control plane said no, and will again: its error code and words.
    #[error("{words} ({code})")]
    Refused {
        /// RFC 6749 section 5.2.
        code: String,
        /// Its description.
        words: String,
    },
    /// It did not answer, or not in a way that settles anything.
    #[error("{0}")]
    NoAnswer(String),
}

/// What a question in the device flow brought.
pub(crate) enum Poll {
    /// The person agreed.
    Granted(Granted),
    /// Ask again after so many seconds.
    Wait(u64),
}

impl Server {
    /// The control plane at a base URL.
    pub(crate) fn new(url: &str) -> Self {
        Self::patient(url, ANSWER)
    }

    /// The same, waiting so long for an answer.
    pub(crate) fn patient(url: &str, answer: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .tls_config(hostler_daemon::tls_roots())
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(answer.min(Duration::from_secs(5))))
            .timeout_global(Some(answer))
            .build()
            .into();
        Self {
            url: url.to_owned(),
            agent,
        }
    }

    /// Renews the tokens; the refresh token is spent.
    pub(crate) fn refresh(&self, client_id: &str, refresh_token: &str) -> Result<Granted, Denied> {
        granted(self.post(
            "/oauth/token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token),
                ("client_id", client_id),
            ],
        )?)
    }

    /// Takes the tokens of a sign-in back.
    pub(crate) fn revoke(&self, client_id: &str, refresh_token: &str) -> Result<(), Denied> {
        let form = [
            ("token", refresh_token),
            ("token_type_hint", "refresh_token"),
            ("client_id", client_id),
        ];
        match self.post("/oauth/revoke", &form)? {
            (200, _) => Ok(()),
            (status, answer) => Err(refusal(status, &answer)),
        }
    }

    /// Begins a device flow.
    pub(crate) fn device(&self, scope: &str) -> Result<Device, Denied> {
        let form = [("client_id", CLIENT_ID), ("scope", scope)];
        let (status, answer) = self.post("/oauth/device_authorization", &form)?;
        if status != 200 {
            return Err(refusal(status, &answer));
        }
        serde_json::from_value(answer)
            .map_err(|error| Denied::NoAnswer(format!("its answer cannot be read: {error}")))
    }

    /// Asks whether the person has agreed; `interval` is the present time between questions.
    pub(crate) fn poll(&self, device_code: &str, interval: u64) -> Result<Poll, Denied> {
        let form = [
            ("grant_type", DEVICE_GRANT),
            ("device_code", device_code),
            ("client_id", CLIENT_ID),
        ];
        let answer = match self.post("/oauth/token", &form) {
            // RFC 8628 section 3.5: a connection that timed out makes the client ask less often.
            Err(Denied::NoAnswer(_)) => return Ok(Poll::Wait(apart(interval))),
            answer => answer?,
        };
        match (answer.0, answer.1["error"].as_str()) {
            (_, Some("authorization_pending")) => Ok(Poll::Wait(interval)),
            (_, Some("slow_down")) => Ok(Poll::Wait(interval + SLOWER)),
            (429 | 500.., _) => Ok(Poll::Wait(apart(interval))),
            _ => granted(answer).map(Poll::Granted),
        }
    }

    fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, Value), Denied> {
        let no_answer = |error: ureq::Error| {
            let late = matches!(error, ureq::Error::Timeout(_));
            Denied::NoAnswer(if late {
                "it did not answer in time".to_owned()
            } else {
                error.to_string()
            })
        };
        let mut response = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("accept", "application/json")
            .send_form(form.iter().copied())
            .map_err(no_answer)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().map_err(no_answer)?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((status, answer))
    }
}

impl Denied {
    /// What to tell a person who tried to do `what` at `url`.
    pub(crate) fn told(&self, what: &str, url: &str) -> Failure {
        match self {
            Self::Refused { .. } => Failure::unauthorized(format!(
                "The control plane at {url} refused to {what}: {self}."
            )),
            Self::NoAnswer(words) => Failure::unreachable(format!(
                "The control plane at {url} could not {what}: {words}."
            ))
            .hint("Check the address and that it runs, then run the command again."),
        }
    }
}

/// The next wait after no answer: twice as long, up to a limit, and never shorter.
fn apart(interval: u64) -> u64 {
    (interval * 2).min(MOST_APART).max(interval)
}

fn granted((status, answer): (u16, Value)) -> Result<Granted, Denied> {
    if status != 200 {
        return Err(refusal(status, &answer));
    }
    serde_json::from_value(answer)
        .map_err(|error| Denied::NoAnswer(format!("its answer cannot be read: {error}")))
}

/// An error answer: final when it carries an OAuth error with 400 or 401, else no answer at all.
fn refusal(status: u16, answer: &Value) -> Denied {
    match (status, answer["error"].as_str()) {
        (400 | 401, Some(code)) => Denied::Refused {
            code: code.to_owned(),
            words: answer["error_description"]
                .as_str()
                .unwrap_or("it gave no reason")
                .trim_end_matches('.')
                .to_owned(),
        },
        (404, _) => Denied::NoAnswer(
            "it has no sign-in for programs (is it a hostler control plane of this version?)"
                .to_owned(),
        ),
        _ => Denied::NoAnswer(format!("it answered {status}")),
    }
}

fn an_hour() -> i64 {
    3600
}

fn five() -> u64 {
    5
}
