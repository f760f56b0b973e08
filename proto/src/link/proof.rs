//! Proof of a host's identity: an Ed25519 signature (RFC 8032) over the challenge's nonce, the host
//! id, the instance id and the control plane's id, so that a proof is good once and for one server.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::frame::payload::{Challenge, Hello};
use crate::ids::{HostId, InstanceId};

const DOMAIN: &[u8] = b"hostler link proof v1\0";

/// A host's private key.
#[derive(Clone)]
pub struct HostKey(SigningKey);

/// The key is never shown.
impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostKey(..)")
    }
}

/// Key material that is not 32 bytes of hex, or not a point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key of 32 bytes in hex")]
pub struct BadKey;

impl HostKey {
    /// The key made from 32 random bytes.
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The key from its hex form.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        Ok(Self::from_bytes(&bytes(text)?))
    }

    /// The private key, hex, for the identity file.
    pub fn secret_hex(&self) -> String {
        hex::encode(self.0.to_bytes())
    }

    /// The public key, hex, for enrolment.
    pub fn public_hex(&self) -> String {
        hex::encode(self.0.verifying_key().to_bytes())
    }

    /// The signature (hex) that answers a challenge.
    pub fn answer(&self, nonce: &str, host: HostId, instance: InstanceId, server: Uuid) -> String {
        hex::encode(
            self.0
                .sign(&message(nonce, host, instance, server))
                .to_bytes(),
        )
    }

    /// The signature (hex) under any other statement, such as an enrolment or a rotation.
    pub fn sign(&self, statement: &[u8]) -> String {
        hex::encode(self.0.sign(statement).to_bytes())
    }
}

/// What tells one machine from others to the control plane, without telling its own name for itself:
/// a SHA-256 (hex) that differs from host to host.
pub fn machine_mark(host: HostId, machine_id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"hostler machine v1\0");
    hash.update(host.0.as_bytes());
    hash.update(machine_id.trim());
    hex::encode(hash.finalize())
}

/// Checks that a public key (hex) can be used to verify with.
pub fn check_public(public_hex: &str) -> Result<(), BadKey> {
    verifying(public_hex).map(|_| ())
}

/// Whether `hello` is signed by the key for this challenge.
pub fn verify_hello(public_hex: &str, challenge: &Challenge, hello: &Hello) -> bool {
    let statement = message(
        &challenge.nonce,
        hello.host_id,
        hello.instance_id,
        challenge.server_id,
    );
    verify(public_hex, &statement, &hello.signature)
}

/// Whether a statement is signed (hex) by the key (hex).
pub fn verify(public_hex: &str, statement: &[u8], signature_hex: &str) -> bool {
    let signature = hex::decode(signature_hex)
        .ok()
        .and_then(|bytes| Signature::from_slice(&bytes).ok());
    match (verifying(public_hex), signature) {
        (Ok(key), Some(signature)) => key.verify_strict(statement, &signature).is_ok(),
        (Err(BadKey), _) | (Ok(_), None) => false,
    }
}

fn message(nonce: &str, host: HostId, instance: InstanceId, server: Uuid) -> Vec<u8> {
    let mut message = DOMAIN.to_vec();
    message.extend_from_slice(host.0.as_bytes());
    message.extend_from_slice(instance.0.as_bytes());
    message.extend_from_slice(server.as_bytes());
    message.extend_from_slice(nonce.as_bytes());
    message
}

fn verifying(public_hex: &str) -> Result<VerifyingKey, BadKey> {
    VerifyingKey::from_bytes(&bytes(public_hex)?).or(Err(BadKey))
}

fn bytes(text: &str) -> Result<[u8; 32], BadKey> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).or(Err(BadKey))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_nonce_host_instance_server_and_key() {
        let key = HostKey::from_bytes(&[7; 32]);
        let (host, instance) = (HostId(Uuid::from_u128(1)), InstanceId(Uuid::from_u128(2)));
        let server = Uuid::from_u128(3);
        let signature = key.answer("aa", host, instance, server);
        let check = |key: &str, nonce: &str, host, instance, server| {
            verify(key, &message(nonce, host, instance, server), &signature)
        };
        let public = key.public_hex();
        assert!(check(&public, "aa", host, instance, server));
        assert!(!check(&public, "ab", host, instance, server));
        assert!(!check(
            &public,
            "aa",
            HostId(Uuid::from_u128(9)),
            instance,
            server
        ));
        assert!(!check(
            &public,
            "aa",
            host,
            InstanceId(Uuid::from_u128(9)),
            server
        ));
        assert!(!check(&public, "aa", host, instance, Uuid::from_u128(9)));
        let other = HostKey::from_bytes(&[8; 32]).public_hex();
        assert!(!check(&other, "aa", host, instance, server));
        assert!(!check("not hex", "aa", host, instance, server));
    }

    #[test]
    fn the_private_key_survives_its_file_and_is_not_shown() {
        let key = HostKey::from_bytes(&[7; 32]);
        let read = HostKey::from_hex(&key.secret_hex()).unwrap();
        assert_eq!(read.public_hex(), key.public_hex());
        assert!(!format!("{key:?}").contains(&key.secret_hex()));
        assert_eq!(check_public("zz"), Err(BadKey));
    }
}
