//! A person at a browser of a fresh control plane, signed in without the sign-in page: for tests of
//! what comes after it.

use std::{fs::File, io::Read, path::PathBuf};

use hostler_control_plane::auth::{Secret, SecretKind};

use super::{Browser, Home, Service};

/// The session cookie.
const COOKIE: &str = "__Host-hostler";

impl Browser {
    /// Signs in as the first owner, with a session written into the catalog.
    #[track_caller]
    pub(crate) fn sign_in_as_owner(&self, home: &Home, service: &Service) {
        let secret = session_of_owner(home);
        self.open(&format!("{}/assets/icon.svg", service.url));
        self.set_cookie(COOKIE, &secret);
    }
}

/// A `Cookie` header of a session of the first owner.
#[track_caller]
pub(crate) fn owner_cookie(home: &Home) -> String {
    format!("{COOKIE}={}", session_of_owner(home))
}

/// Where the control plane of `home` keeps its catalog.
pub(crate) fn catalog(home: &Home) -> PathBuf {
    home.hostler_home().join("control-plane/catalog.db")
}

#[track_caller]
fn session_of_owner(home: &Home) -> String {
    let mut bits = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut chance| chance.read_exact(&mut bits))
        .unwrap();
    let secret = Secret::mint(SecretKind::Session, &bits);
    let now = "CAST(strftime('%s','now') AS INTEGER) * 1000";
    let id = uuid::Uuid::from_slice(&bits[..16]).unwrap();
    let hash = secret.hash();
    let insert = format!(
        "INSERT INTO sessions (id, hash, user_id, org_id, created_at, last_seen_at, expires_at) \
         SELECT '{id}', '{hash}', user_id, org_id, {now}, {now}, {now} + 86400000 \
         FROM members WHERE role = 'owner' ORDER BY created_at LIMIT 1"
    );
    home.sql(&catalog(home), &[insert]);
    secret.expose().to_owned()
}
