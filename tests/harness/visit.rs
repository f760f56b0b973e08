//! A person at a browser of a fresh control plane, signed in without the sign-in page: for tests of
//! what comes after it.

use std::{fs::File, io::Read, path::PathBuf};

use hostler_control_plane::auth::{Secret, SecretKind};

use super::{Browser, Home, Service};

/// The session cookie.
const COOKIE: &str = "__Host-hostler";

/// The time in SQL, milliseconds.
const NOW: &str = "CAST(strftime('%s', 'now') AS INTEGER) * 1000";

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

/// A `Cookie` header of somebody new: a member of the first organization, or the owner of another.
#[track_caller]
pub(crate) fn newcomer_cookie(home: &Home, colleague: bool) -> String {
    let (secret, user) = (chance(), id());
    let (org, role) = if colleague {
        let first = "(SELECT id FROM organizations ORDER BY created_at LIMIT 1)";
        (first.to_owned(), "member")
    } else {
        (format!("'{}'", id()), "owner")
    };
    let email = format!("{user}@example.com");
    let mut statements = vec![format!(
        "INSERT INTO users (id, email, email_key, name, created_at) \
         VALUES ('{user}', '{email}', '{email}', 'Newcomer', {NOW})"
    )];
    if !colleague {
        statements.push(format!(
            "INSERT INTO organizations (id, name, created_at) VALUES ({org}, 'Elsewhere', {NOW})"
        ));
    }
    statements.push(format!(
        "INSERT INTO members (org_id, user_id, role, created_at) \
         VALUES ({org}, '{user}', '{role}', {NOW})"
    ));
    statements.push(session(&secret, &format!("WHERE user_id = '{user}'")));
    home.sql(&catalog(home), &statements);
    format!("{COOKIE}={}", secret.expose())
}

/// Where the control plane of `home` keeps its catalog.
pub(crate) fn catalog(home: &Home) -> PathBuf {
    home.hostler_home().join("control-plane/catalog.db")
}

#[track_caller]
fn session_of_owner(home: &Home) -> String {
    let secret = chance();
    let oldest = "WHERE role = 'owner' ORDER BY created_at LIMIT 1";
    home.sql(&catalog(home), &[session(&secret, oldest)]);
    secret.expose().to_owned()
}

/// The statement that writes a session of the membership that fits.
fn session(secret: &Secret, membership: &str) -> String {
    let (id, hash) = (id(), secret.hash());
    format!(
        "INSERT INTO sessions (id, hash, user_id, org_id, created_at, last_seen_at, expires_at) \
         SELECT '{id}', '{hash}', user_id, org_id, {NOW}, {NOW}, {NOW} + 86400000 \
         FROM members {membership}"
    )
}

fn chance() -> Secret {
    Secret::mint(SecretKind::Session, &bits())
}

fn id() -> uuid::Uuid {
    let bits: [u8; 16] = bits();
    uuid::Uuid::from_bytes(bits)
}

fn bits<const N: usize>() -> [u8; N] {
    let mut bits = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut chance| chance.read_exact(&mut bits))
        .unwrap();
    bits
}
