//! TLS by certificate files: read and checked at the start, and again whenever they change.
//!
//! Files that do not fit are refused at the start and, later, leave the certificate in use as it
//! is: a renewal writes two files, and between them they do not match. What clients will refuse later
//! (an end that comes near, a chain with a gap) is told in the log. Only the server side; roots and
//! client certificates are not looked at.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use hostler_proto::time::UtcMillis;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{self, ServerConfig};

use super::TlsFiles;
use super::certificate;

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file holds something else.
    #[error(
        "{path} holds no {what} in PEM form (a block that begins with -----BEGIN {block}-----)"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Its block.
        block: &'static str,
    },
    /// A file is damaged.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// The files are not of one pair.
    #[error("the key in {key} is not the key of the certificate in {certificate}")]
    Unmatched {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate in {path} expired at {at}: renew it")]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        at: UtcMillis,
    },
    /// The certificate's time has not begun.
    #[error("the certificate in {path} is not valid before {at}: look at this machine's clock")]
    TooEarly {
        /// The file.
        path: PathBuf,
        /// From when on.
        at: UtcMillis,
    },
    /// The certificate is another name's.
    #[error(
        "the certificate in {path} is not for {name}: give --public-url with a name it is for, or another certificate"
    )]
    OtherName {
        /// The file.
        path: PathBuf,
        /// The server's name.
        name: String,
    },
}

/// A certificate in use, and the files it came from.
pub(crate) struct Tls {
    files: TlsFiles,
    seen: Stamp,
    config: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
    pub(super) until: UtcMillis,
    /// The last of [`WARNINGS_MS`] that was told; none yet.
    pub(super) warned: Option<i64>,
}

/// Told so long before the certificate's time is over, milliseconds; the first once more when it is.
const WARNINGS_MS: [i64; 3] = [0, 24 * 3_600_000, 7 * 24 * 3_600_000];

/// What tells that a file was written anew.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads and checks the files.
    pub(crate) fn open(files: &TlsFiles, now: UtcMillis) -> Result<Self, TlsError> {
        let seen = stamp(files);
        let (config, leaf, until) = load(files, now)?;
        Ok(Self {
            files: files.clone(),
            seen,
            config: Arc::new(config),
            leaf,
            until,
            warned: None,
        })
    }

    /// Takes changed files into use; true when there is a new certificate.
    pub(crate) fn refresh(&mut self, now: UtcMillis) -> bool {
        let stamp = stamp(&self.files);
        if stamp == self.seen {
            self.warn(now);
            return false;
        }
        match load(&self.files, now) {
            Ok((config, leaf, until)) => {
                tracing::info!("the TLS certificate was read again");
                (self.config, self.leaf, self.seen) = (Arc::new(config), leaf, stamp);
                (self.until, self.warned) = (until, None);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the TLS files changed; the certificate before stays in use");
                self.seen = stamp;
                false
            }
        }
    }

    /// Says once that the certificate's time is over, or soon will be; true when it did.
    pub(super) fn warn(&mut self, now: UtcMillis) -> bool {
        let left = self.until.since(now);
        let Some(due) = WARNINGS_MS.into_iter().find(|before| left < *before) else {
            return false;
        };
        if self.warned.is_some_and(|warned| warned <= due) {
            return false;
        }
        self.warned = Some(due);
        let (path, until) = (self.files.certificate.display(), self.until);
        tracing::warn!(
            "the certificate in {path} ends at {until}, and clients refuse it then: renew it; the new \
             files are taken into use by themselves"
        );
        true
    }

    /// What new connections are met with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Refuses a certificate that is not for the name clients will use.
    pub(crate) fn is_for(&self, name: &str) -> Result<(), TlsError> {
        let other = || TlsError::OtherName {
            path: self.files.certificate.clone(),
            name: name.to_owned(),
        };
        let parsed = ParsedCertificate::try_from(&self.leaf)
            .map_err(|error| damaged(&self.files.certificate, &error))?;
        let bare = name.trim_matches(['[', ']']);
        let wanted = ServerName::try_from(bare).ok().ok_or_else(other)?;
        verify_server_name(&parsed, &wanted).ok().ok_or_else(other)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    })
}

fn load(
    files: &TlsFiles,
    now: UtcMillis,
) -> Result<(ServerConfig, CertificateDer<'static>, UtcMillis), TlsError> {
    let path = &files.certificate;
    let chain = certificates(path)?;
    let leaf = chain
        .first()
        .cloned()
        .ok_or_else(|| missing_certificate(path))?;
    let until = in_time(path, &leaf, now)?;
    if has_gap(&chain) {
        tracing::warn!(
            "the certificate in {} was issued by another that does not follow it in the file: clients \
             that do not know the issuer will refuse it. Add the ones in between, each after the one \
             it issued (fullchain.pem)",
            path.display()
        );
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unread(&files.key, error, "private key", "PRIVATE KEY"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| damaged(path, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            return TlsError::Unmatched {
                certificate: path.clone(),
                key: files.key.clone(),
            };
        }
        damaged(&files.key, &error)
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, leaf, until))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| unread(path, error, "certificate", "CERTIFICATE");
    let blocks = CertificateDer::pem_file_iter(path).map_err(failed)?;
    blocks.collect::<Result<_, _>>().map_err(failed)
}

fn in_time(path: &Path, leaf: &CertificateDer<'_>, now: UtcMillis) -> Result<UtcMillis, TlsError> {
    let certificate::Said { from, until, .. } =
        certificate::read(leaf).ok_or_else(|| damaged(path, &"it cannot be read"))?;
    let path = path.to_owned();
    if now < from {
        return Err(TlsError::TooEarly { path, at: from });
    }
    if now > until {
        return Err(TlsError::Expired { path, at: until });
    }
    Ok(until)
}

/// Whether a certificate is not followed by its issuer's. A last one may be: clients know the root.
/// (One alone whose issuer is a root itself is fine and cannot be told from others.)
pub(super) fn has_gap(chain: &[CertificateDer<'_>]) -> bool {
    let said: Vec<_> = chain
        .iter()
        .filter_map(|der| certificate::read(der))
        .collect();
    let broken = said.windows(2).any(|two| two[0].issuer != two[1].subject);
    let alone = matches!(said.as_slice(), [leaf] if leaf.issuer != leaf.subject);
    broken || alone
}

fn unread(path: &Path, error: pem::Error, what: &'static str, block: &'static str) -> TlsError {
    let path = path.to_owned();
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "another crate's, and open-ended"
    )]
    match error {
        pem::Error::Io(source) => TlsError::Read { path, source },
        pem::Error::NoItemsFound => TlsError::Missing { path, what, block },
        other => damaged(&path, &other),
    }
}

fn missing_certificate(path: &Path) -> TlsError {
    unread(path, pem::Error::NoItemsFound, "certificate", "CERTIFICATE")
}

fn damaged(path: &Path, reason: &impl std::fmt::Display) -> TlsError {
    TlsError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
