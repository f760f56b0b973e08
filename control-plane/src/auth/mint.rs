//! Making a token: the secret that is shown once, and the row that only holds its hash.

use hostler_proto::ids::{OrgId, UserId};

use super::{Scopes, Secret, SecretKind};
use crate::clock;
use crate::store::tokens::NewToken;

/// How many characters of a secret the catalog keeps readable, to tell keys apart.
const SHOWN_CHARACTERS: usize = 12;

/// How long an enrolment key is good, milliseconds.
pub(crate) const ENROLMENT_KEY_MS: i64 = 15 * 60_000;

/// A fresh secret and its row; `good_ms` limits its life, milliseconds.
pub(crate) fn mint(
    kind: SecretKind,
    name: &str,
    org: OrgId,
    user: UserId,
    good_ms: Option<i64>,
) -> (Secret, NewToken) {
    let now = clock::wall();
    let secret = Secret::mint(kind, &clock::random());
    let token = NewToken {
        id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
        kind: kind.word().to_owned(),
        hash: secret.hash().to_string(),
        prefix: secret.expose().chars().take(SHOWN_CHARACTERS).collect(),
        org_id: org,
        user_id: user,
        name: name.to_owned(),
        scopes: Scopes::all().to_string(),
        audience: None,
        client_id: None,
        family_id: None,
        created_at: now,
        expires_at: good_ms.map(|ms| now.plus_ms(ms)),
    };
    (secret, token)
}
