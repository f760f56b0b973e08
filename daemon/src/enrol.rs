//! Enrolment of this machine with a control plane, its identity file, and leaving.
//!
//! The machine makes its own key pair; the private half never leaves `identity.json` (0600). The
//! key is written before it is posted, so a lost answer is repeated with the same key and gives the
//! same host. It does not open the link.

mod private;
mod rotate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_proto::enrol::{
    ENROL_PATH, EnrolReply, EnrolRequest, LEAVE_PATH, LeaveRequest, enrol_statement,
    leave_statement,
};
use hostler_proto::error::Failure;
use hostler_proto::ids::HostId;
use hostler_proto::link::proof::HostKey;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::clock;
use crate::config::Layout;

pub use rotate::{Rotated, rotate};
pub(crate) use rotate::{back_to_old_key, rotate_when_due};

/// Time for the control plane's whole answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Servers are believed by the roots this system trusts (`SSL_CERT_FILE` names others), as on the
/// link.
pub fn tls_roots() -> ureq::tls::TlsConfig {
    ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .build()
}

/// Who this machine is for a control plane.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub host_id: HostId,
    /// Its name at enrolment.
    pub name: String,
    /// Base address of the control plane.
    pub url: String,
    /// Which control plane that is.
    pub server_id: Uuid,
    /// The private key.
    pub key: HostKey,
}

impl Identity {
    /// Whether both are the same enrolment.
    pub fn same_as(&self, other: &Self) -> bool {
        self.host_id == other.host_id
            && self.server_id == other.server_id
            && self.url == other.url
            && self.key.public_hex() == other.key.public_hex()
    }
}

/// This machine is enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its id.
    pub host_id: HostId,
    /// Its name.
    pub name: String,
    /// Base address of the control plane.
    pub url: String,
}

/// This machine is no longer enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it was.
    pub was: Enrolled,
    /// Why the control plane could not be told, if so: it still lists the host.
    pub not_told: Option<String>,
}

/// Why this machine could not be enrolled, or could not leave.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It is enrolled already.
    #[error(
        "this machine is already enrolled as {name} ({host_id}) with {url}. Run `hostler leave` first"
    )]
    Already {
        /// Its name there.
        name: String,
        /// Its id there.
        host_id: HostId,
        /// Where.
        url: String,
    },
    /// It is not enrolled.
    #[error("this machine is not enrolled. Run `hostler join URL` first")]
    NotEnrolled,
    /// The address is not one of a control plane.
    #[error("{url} cannot be used: {reason}")]
    Address {
        /// As given.
        url: String,
        /// Why, and what to give instead.
        reason: String,
    },
    /// The single-use key is not one.
    #[error(
        "that is not an enrolment key: it begins with hk_. Get a fresh one from the control plane; it is good once and for 15 minutes"
    )]
    Key,
    /// No answer.
    #[error(
        "the control plane at {url} did not answer: {reason}. Check the address and that it runs, then repeat the command"
    )]
    NoAnswer {
        /// Where.
        url: String,
        /// The network's words.
        reason: String,
    },
    /// It said no.
    #[error("the control plane at {url} refused: {}{}", .failure.message, .failure.hint.as_ref().map(|hint| format!(". {hint}")).unwrap_or_default())]
    Refused {
        /// Where.
        url: String,
        /// Its words.
        failure: Failure,
    },
    /// The identity file cannot be read or written.
    #[error(
        "the identity file {path} cannot be used: {reason}. Restore it from a backup, or remove it and enrol this machine again under another name"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The program itself failed.
    #[error("enrolment was interrupted: {0}")]
    Interrupted(#[source] tokio::task::JoinError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityFile {
    host_id: HostId,
    name: String,
    url: String,
    server_id: Uuid,
    secret_key: String,
}

/// Enrols this machine at `url` with a single-use key; `name` defaults to the machine's own.
pub async fn enrol(
    home: &Path,
    url: &str,
    key: &str,
    name: Option<&str>,
) -> Result<Enrolled, EnrolError> {
    let name = name.map_or_else(machine_name, str::to_owned);
    let (home, url, key) = (home.to_owned(), url.to_owned(), key.to_owned());
    tokio::task::spawn_blocking(move || enrol_blocking(&home, &url, &key, &name))
        .await
        .map_err(EnrolError::Interrupted)?
}

/// Removes this machine from its control plane and forgets the identity. When the control plane
/// cannot be reached the identity is forgotten all the same, and the answer says so.
pub async fn leave(home: &Path) -> Result<Left, EnrolError> {
    let home = home.to_owned();
    tokio::task::spawn_blocking(move || leave_blocking(&home))
        .await
        .map_err(EnrolError::Interrupted)?
}

/// Notes that the control plane of this machine's enrolment now answers at `url` (it was started on
/// another port). Nothing happens when that is known.
pub fn moved(home: &Path, url: &str) -> Result<(), EnrolError> {
    let identity = identity(home)?.ok_or(EnrolError::NotEnrolled)?;
    if identity.url == url {
        return Ok(());
    }
    save(
        home,
        &Identity {
            url: address(url)?,
            ..identity
        },
    )
}

/// This machine's identity; none when it is not enrolled.
pub fn identity(home: &Path) -> Result<Option<Identity>, EnrolError> {
    let path = identity_path(home);
    private::guard(&path)?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(&path, error)),
    };
    let file: IdentityFile = serde_json::from_str(&text).map_err(|e| file_error(&path, e))?;
    let key = HostKey::from_hex(&file.secret_key).map_err(|e| file_error(&path, e))?;
    Ok(Some(Identity {
        host_id: file.host_id,
        name: file.name,
        url: file.url,
        server_id: file.server_id,
        key,
    }))
}

fn enrol_blocking(home: &Path, url: &str, key: &str, name: &str) -> Result<Enrolled, EnrolError> {
    if let Some(old) = identity(home)? {
        return Err(EnrolError::Already {
            name: old.name,
            host_id: old.host_id,
            url: old.url,
        });
    }
    let url = address(url)?;
    let key = key.trim();
    if !key.starts_with("hk_") {
        return Err(EnrolError::Key);
    }
    let pair = prepared_pair(home)?;
    let request = EnrolRequest {
        name: name.to_owned(),
        public_key: pair.public_hex(),
        signature: pair.sign(&enrol_statement(key, name)),
    };
    let reply: EnrolReply = post(&url, ENROL_PATH, Some(key), &request)?;
    let identity = Identity {
        host_id: reply.host_id,
        name: reply.name,
        url,
        server_id: reply.server_id,
        key: pair,
    };
    rotate::abandon(home)?;
    save(home, &identity)?;
    forget(&prepared_path(home))?;
    Ok(Enrolled {
        host_id: identity.host_id,
        name: identity.name,
        url: identity.url,
    })
}

fn save(home: &Path, identity: &Identity) -> Result<(), EnrolError> {
    let file = IdentityFile {
        host_id: identity.host_id,
        name: identity.name.clone(),
        url: identity.url.clone(),
        server_id: identity.server_id,
        secret_key: identity.key.secret_hex(),
    };
    let path = identity_path(home);
    let text = serde_json::to_string_pretty(&file).map_err(|e| file_error(&path, e))?;
    private::write(&path, &text)
}

fn leave_blocking(home: &Path) -> Result<Left, EnrolError> {
    let identity = identity(home)?.ok_or(EnrolError::NotEnrolled)?;
    let request = LeaveRequest {
        host_id: identity.host_id,
        signature: identity
            .key
            .sign(&leave_statement(identity.host_id, identity.server_id)),
    };
    let told: Result<serde_json::Value, _> = post(&identity.url, LEAVE_PATH, None, &request);
    forget(&identity_path(home))?;
    rotate::abandon(home)?;
    Ok(Left {
        was: Enrolled {
            host_id: identity.host_id,
            name: identity.name,
            url: identity.url,
        },
        not_told: told.err().map(|error| error.to_string()),
    })
}

/// The pair of an enrolment whose answer was lost, or a fresh one, written before it is used.
fn prepared_pair(home: &Path) -> Result<HostKey, EnrolError> {
    let path = prepared_path(home);
    private::guard(&path)?;
    let left = std::fs::read_to_string(&path).ok();
    if let Some(pair) = left.and_then(|text| HostKey::from_hex(text.trim()).ok()) {
        return Ok(pair);
    }
    let pair = HostKey::from_bytes(&clock::random());
    private::write(&path, &pair.secret_hex())?;
    Ok(pair)
}

fn post<Q: Serialize, A: for<'de> Deserialize<'de>>(
    url: &str,
    path: &str,
    bearer: Option<&str>,
    body: &Q,
) -> Result<A, EnrolError> {
    let no_answer = |reason: String| EnrolError::NoAnswer {
        url: url.to_owned(),
        reason,
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls_roots())
        .timeout_global(Some(ANSWER))
        .timeout_connect(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let mut request = agent
        .post(format!("{url}{path}"))
        .header("content-type", "application/json");
    if let Some(key) = bearer {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = serde_json::to_string(body).map_err(|error| no_answer(error.to_string()))?;
    let mut response = request
        .send(body)
        .map_err(|error| no_answer(error.to_string()))?;
    let status = response.status();
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| no_answer(error.to_string()))?;
    if status.is_success() {
        return serde_json::from_str(&text)
            .map_err(|error| no_answer(format!("its answer cannot be read: {error}")));
    }
    match serde_json::from_str::<Failure>(&text) {
        Ok(failure) => Err(EnrolError::Refused {
            url: url.to_owned(),
            failure,
        }),
        Err(_) => Err(no_answer(format!(
            "it answered {status}, which is not what a control plane answers"
        ))),
    }
}

/// Whether the address is one of this machine itself.
pub(crate) fn is_near(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| here(&url))
}

fn here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The base address without a slash at its end; plain http only to this machine itself.
pub fn address(url: &str) -> Result<String, EnrolError> {
    let bad = |reason: &str| EnrolError::Address {
        url: url.to_owned(),
        reason: reason.to_owned(),
    };
    let parsed = Url::parse(url.trim()).map_err(|error| {
        bad(&format!(
            "{error}; give it like https://hostler.example.com"
        ))
    })?;
    if parsed.host().is_none() {
        return Err(bad("it names no host"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("it must not hold a name or password"));
    }
    match parsed.scheme() {
        "https" => {}
        "http" if here(&parsed) => {}
        "http" => {
            return Err(bad(
                "plain http is only for a control plane on this machine; use its https:// address",
            ));
        }
        _ => {
            return Err(bad(
                "it must begin with https:// (or http:// on this machine)",
            ));
        }
    }
    let path = parsed.path().trim_end_matches('/');
    Ok(format!("{}{path}", parsed.origin().ascii_serialization()))
}

fn machine_name() -> String {
    sysinfo::System::host_name()
        .ok()
        .map(|name| name.trim_end_matches(".local").to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "host".to_owned())
}

fn identity_path(home: &Path) -> PathBuf {
    Layout::new(home).host().join("identity.json")
}

fn prepared_path(home: &Path) -> PathBuf {
    Layout::new(home).host().join("identity.prepared")
}

fn forget(path: &Path) -> Result<(), EnrolError> {
    forget_if_there(path).map_err(|error| file_error(path, error))
}

fn forget_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that it can be given to map_err"
)]
fn file_error(path: &Path, reason: impl ToString) -> EnrolError {
    EnrolError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
