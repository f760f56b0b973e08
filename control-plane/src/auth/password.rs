//! Passwords: which are taken, and how they are hashed.
//!
//! argon2id with OWASP's parameters (19 MiB, two passes, one lane), as PHC strings. Hashing costs
//! memory and time on purpose, so it is done away from the async threads, by few at once, with a
//! short queue: whoever comes beyond it is told to come back. A try for an account that does not
//! exist does the same work as one for an account that does. Nothing here knows accounts.

use std::collections::BTreeSet;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use hostler_proto::error::{ErrorCode, Failure};
use tokio::sync::{Semaphore, SemaphorePermit};
use unicode_normalization::UnicodeNormalization as _;

use crate::clock;

/// Fewest characters of a password.
pub const FEWEST_CHARACTERS: usize = 12;

/// Most bytes of a password: beyond it, it costs more to send than it adds.
pub const MOST_BYTES: usize = 512;

/// Passwords hashed at once; each takes 19 MiB and a core.
const AT_ONCE: usize = 2;

/// Tries that may wait for their turn: at about 20 ms each, a second.
const WAITING: usize = 64;

/// What people choose when they are asked for twelve characters, without digits and signs.
const COMMON: [&str; 32] = [
    "abcdefghijkl",
    "abcdefghijklmnop",
    "administrator",
    "asdfghjkl",
    "changeme",
    "changemenow",
    "correcthorsebatterystaple",
    "dragon",
    "football",
    "hostler",
    "hostlerhostler",
    "iloveyou",
    "iloveyouiloveyou",
    "letmein",
    "letmeinletmein",
    "letmeinplease",
    "master",
    "monkey",
    "mypassword",
    "newpassword",
    "password",
    "passwordpassword",
    "princess",
    "qazwsxedc",
    "qwerty",
    "qwertyqwerty",
    "qwertyuiop",
    "qwertyuiopasdfgh",
    "secret",
    "secretpassword",
    "thisisapassword",
    "welcome",
];

/// What came of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Another password.
    Wrong,
    /// The same.
    Right,
    /// The same, hashed with parameters that are no longer ours.
    RightButOld,
}

/// Where passwords are hashed: a few at once.
#[derive(Debug)]
pub struct Passwords {
    places: Semaphore,
    queue: Semaphore,
    #[cfg(test)]
    done: std::sync::atomic::AtomicUsize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Semaphore::new(AT_ONCE),
            queue: Semaphore::new(AT_ONCE + WAITING),
            #[cfg(test)]
            done: std::sync::atomic::AtomicUsize::new(0),
        }
    }
}

impl Passwords {
    /// The PHC string of a password.
    pub async fn hash(&self, password: &str) -> Result<String, Failure> {
        let password = prepared(password);
        let salt = clock::random::<16>();
        self.work(move || {
            let hashed = hasher().hash_password_with_salt(password.as_bytes(), &salt);
            hashed
                .map(|phc| phc.to_string())
                .map_err(|error| broken(&error.to_string()))
        })
        .await
    }

    /// Compares a password with the hash of an account; without one it works as hard for nothing.
    pub async fn compare(&self, password: &str, phc: Option<&str>) -> Result<Compared, Failure> {
        if password.len() > MOST_BYTES {
            // No account has such a password, so this tells nothing about any.
            return Ok(Compared::Wrong);
        }
        let Some(phc) = phc else {
            return self.hash(password).await.map(|_| Compared::Wrong);
        };
        let (password, phc) = (prepared(password), phc.to_owned());
        self.work(move || {
            let kept = PasswordHash::new(&phc).map_err(|error| broken(&error.to_string()))?;
            Ok(match hasher().verify_password(password.as_bytes(), &kept) {
                Err(_) => Compared::Wrong,
                Ok(()) if is_ours(&kept) => Compared::Right,
                Ok(()) => Compared::RightButOld,
            })
        })
        .await
    }

    /// How many times a password was hashed.
    #[cfg(test)]
    pub(crate) fn done(&self) -> usize {
        self.done.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _queued: SemaphorePermit<'_> = self.queue.try_acquire().map_err(|_full| busy())?;
        let _place = self.places.acquire().await.map_err(|_closed| busy())?;
        #[cfg(test)]
        self.done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| broken(&error.to_string()))?
    }
}

/// The same password typed on another keyboard or system has the same bytes (RFC 8265 section 4.2.2):
/// other spaces are spaces, and what can be composed is (NFC).
fn prepared(password: &str) -> String {
    let spaced = |c: char| {
        if c.is_whitespace() && !c.is_ascii() {
            ' '
        } else {
            c
        }
    };
    password.chars().map(spaced).nfc().collect()
}

/// Refuses a new password that is too short, too long, or what everybody would try first.
pub fn check(password: &str, email: &str) -> Result<(), Failure> {
    let refuse = |words: String| {
        Err(Failure::new(ErrorCode::InvalidArgument, words).hint(
            "a few words that have nothing to do with each other are easy to keep in mind; a password manager is easier",
        ))
    };
    if password.chars().count() < FEWEST_CHARACTERS {
        return refuse(format!(
            "the password needs at least {FEWEST_CHARACTERS} characters"
        ));
    }
    if password.len() > MOST_BYTES {
        return refuse(format!("the password has more than {MOST_BYTES} bytes"));
    }
    if is_common(password, email) {
        return refuse("that password is among the first that somebody would try".to_owned());
    }
    Ok(())
}

fn is_common(password: &str, email: &str) -> bool {
    let lower = password.to_lowercase();
    let letters: String = lower.chars().filter(|c| c.is_alphabetic()).collect();
    let different: BTreeSet<char> = lower.chars().collect();
    let email = email.to_lowercase();
    let mailbox = email.split('@').next().unwrap_or_default();
    let chars: Vec<char> = lower.chars().collect();
    let counts_up = chars.windows(2).all(|pair| {
        let step = u32::from(pair[1]).wrapping_sub(u32::from(pair[0]));
        step == 1 || step == u32::MAX || (pair[0], pair[1]) == ('9', '0')
    });
    different.len() < 5
        || counts_up
        || letters.is_empty() && different.len() < 8
        || COMMON.contains(&letters.as_str())
        || lower == email
        || (!mailbox.is_empty() && letters == mailbox)
}

/// argon2id, version 1.3, with the crate's defaults, which are OWASP's: m=19456, t=2, p=1.
fn hasher() -> Argon2<'static> {
    Argon2::default()
}

fn is_ours(kept: &PasswordHash) -> bool {
    let ours = Params::default();
    kept.algorithm == argon2::ARGON2ID_IDENT
        && Params::try_from(kept).is_ok_and(|params| {
            (params.m_cost(), params.t_cost(), params.p_cost())
                == (ours.m_cost(), ours.t_cost(), ours.p_cost())
        })
}

fn busy() -> Failure {
    Failure::new(
        ErrorCode::RateLimited,
        "too many people are signing in at this moment",
    )
    .hint("wait a few seconds, then try again")
}

fn broken(words: &str) -> Failure {
    Failure::new(ErrorCode::HostError, "the password cannot be checked").detail(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_the_same_from_every_keyboard() {
        let passwords = Passwords::default();
        let phc = passwords.hash("caf\u{e9} caf\u{e9} 12").await.unwrap();
        for (typed, expected) in [
            ("cafe\u{301} cafe\u{301} 12", Compared::Right),
            ("caf\u{e9}\u{a0}caf\u{e9}\u{2003}12", Compared::Right),
            ("cafe cafe 12", Compared::Wrong),
            ("Caf\u{e9} caf\u{e9} 12", Compared::Wrong),
            ("caf\u{e9} caf\u{e9} 12\0", Compared::Wrong),
            ("caf\u{e9} caf\u{e9} \u{ff11}2", Compared::Wrong),
        ] {
            let compared = passwords.compare(typed, Some(&phc)).await.unwrap();
            assert_eq!(compared, expected, "{typed:?}");
        }
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_its_age() {
        let passwords = Passwords::default();
        let phc = passwords.hash("four words by chance").await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, passwords.hash("four words by chance").await.unwrap());
        let compare = async |password: &str, phc: &str| {
            let compared = passwords.compare(password, Some(phc)).await;
            compared.unwrap()
        };
        assert_eq!(compare("four words by chance", &phc).await, Compared::Right);
        assert_eq!(compare("four words by Chance", &phc).await, Compared::Wrong);
        let old = Argon2::from(Params::new(8 * 1024, 1, 1, None).unwrap());
        let old = old.hash_password_with_salt(b"four words by chance", &[1; 16]);
        let old = old.unwrap().to_string();
        assert_eq!(
            compare("four words by chance", &old).await,
            Compared::RightButOld
        );
    }

    #[tokio::test]
    async fn beyond_a_short_queue_nobody_waits() {
        let passwords = Passwords::default();
        let held = passwords.queue.try_acquire_many(66).unwrap();
        let refused = passwords.hash("four words by chance").await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        drop(held);
        passwords.hash("four words by chance").await.unwrap();
    }

    #[test]
    fn what_everybody_would_try_is_refused() {
        for bad in [
            "short",
            "elevenchars",
            "aaaaaaaaaaaaaaaa",
            "123456789012",
            "121212121212",
            "abcdefghijklmnop",
            "Password1234!",
            "hostler-hostler-1",
            "ada@example.com",
            "Ada.Lovelace1815",
            &"long words ".repeat(60),
        ] {
            let email = if bad.starts_with("Ada.") {
                "adalovelace@example.com"
            } else {
                "ada@example.com"
            };
            assert!(check(bad, email).is_err(), "{bad}");
        }
        for good in ["four words by chance", "пароль из слов", "x7!kQ2#vLp9@"] {
            check(good, "ada@example.com").unwrap();
        }
    }
}
