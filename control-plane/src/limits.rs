//! How often something may be done: one token bucket for each key (a token, an address, an account)
//! of each kind of act.
//!
//! A bucket is one number, the instant at which it is full again (the generic cell rate algorithm,
//! ITU-T I.371), so a refused try costs nothing and is never counted. Memory is bounded: each kind
//! keeps [`MOST_KEYS`] keys, full buckets are forgotten, and the keys beyond that share one bucket
//! until there is room. Keys are kept as keyed hashes, never as they are. It asks no clock and
//! answers nobody; a restart forgets everything.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;

/// Keys of one kind that are told apart at a time (16 bytes each, and the table's own).
pub const MOST_KEYS: usize = 20_000;

/// Full buckets are looked for at most this often while a kind is crowded, microseconds.
const SWEEP_EVERY_US: i64 = 1_000_000;

/// What is limited; each kind counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Any request, by address.
    Requests,
    /// Requests with a good token, by token.
    Calls,
    /// Requests with a credential that is not good, by address.
    Refused,
    /// Password tries from browsers that did not sign in before, by account.
    SignInAccount,
    /// Password tries from browsers that did not sign in before, by address.
    SignInAddress,
    /// Password tries from a browser that signed in before, by account and browser.
    SignInBrowser,
    /// One-time links (set-up, invitation, recovery) opened, by address.
    Links,
    /// Sign-ins begun at another provider, by address.
    SingleSignOn,
    /// OAuth clients registered (RFC 7591), by address.
    Registration,
    /// Client metadata documents fetched for somebody, by address.
    MetadataFetch,
    /// Requests of the token and revocation endpoints, by address.
    TokenEndpoint,
    /// Device codes asked for (RFC 8628), by address.
    DeviceCodes,
    /// User codes typed, by person.
    UserCodes,
    /// Hosts enrolled, by address.
    Enrolment,
}

/// How fast one bucket drains: `burst` at once, then one more every `every_us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once; at least 1.
    pub burst: u32,
    /// Microseconds until one more is allowed; 0 is no limit.
    pub every_us: i64,
}

/// How long to wait until one more is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests: wait {} s", .ms.div_ceil(1_000))]
pub struct Wait {
    /// Milliseconds, at least 1.
    pub ms: u64,
}

/// The rate of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates([Rate; Bucket::ALL.len()]);

/// Every bucket of this server.
#[derive(Debug)]
pub struct Limits {
    rates: Rates,
    hasher: RandomState,
    kinds: [Mutex<Kind>; Bucket::ALL.len()],
}

impl Bucket {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Requests,
        Self::Calls,
        Self::Refused,
        Self::SignInAccount,
        Self::SignInAddress,
        Self::SignInBrowser,
        Self::Links,
        Self::SingleSignOn,
        Self::Registration,
        Self::MetadataFetch,
        Self::TokenEndpoint,
        Self::DeviceCodes,
        Self::UserCodes,
        Self::Enrolment,
    ];

    /// The rate when nothing else is configured.
    fn usual(self) -> Rate {
        match self {
            Self::Requests => Rate::per_minute(6_000, 3_000),
            Self::Calls => Rate::per_minute(1_800, 900),
            Self::Refused | Self::TokenEndpoint => Rate::per_minute(120, 120),
            Self::SignInAccount | Self::SignInBrowser | Self::UserCodes => Rate::per_minute(2, 10),
            Self::SignInAddress => Rate::per_minute(10, 30),
            Self::Links | Self::SingleSignOn | Self::MetadataFetch => Rate::per_minute(20, 20),
            Self::Registration => Rate::per_minute(2, 20),
            Self::DeviceCodes => Rate::per_minute(6, 20),
            Self::Enrolment => Rate::per_minute(60, 60),
        }
    }
}

impl Rate {
    /// So many a minute in the long run, and `burst` at once. Nothing a minute is no limit.
    pub const fn per_minute(count: u32, burst: u32) -> Self {
        let every_us = if count == 0 {
            0
        } else {
            60_000_000 / count as i64
        };
        Self { burst, every_us }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self(Bucket::ALL.map(Bucket::usual))
    }
}

impl Rates {
    /// The same with another rate for one kind.
    #[must_use]
    pub fn with(mut self, bucket: Bucket, rate: Rate) -> Self {
        self.0[bucket as usize] = rate;
        self
    }
}

impl Wait {
    /// For `Retry-After` (RFC 9110 section 10.2.3): whole seconds, rounded up.
    pub fn seconds(self) -> u64 {
        self.ms.div_ceil(1_000)
    }
}

impl From<Wait> for Failure {
    fn from(wait: Wait) -> Self {
        Self::new(ErrorCode::RateLimited, "too many requests at once")
            .hint(format!("wait {} s, then try again", wait.seconds()))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Rates::default())
    }
}

impl Limits {
    /// Limits with these rates; every bucket is full.
    pub fn new(rates: Rates) -> Self {
        Self {
            rates,
            hasher: RandomState::new(),
            kinds: Bucket::ALL.map(|_| Mutex::default()),
        }
    }

    /// Takes one from the bucket of `key`, or says how long to wait.
    pub fn take(&self, bucket: Bucket, key: &str, now: UtcMillis) -> Result<(), Wait> {
        let rate = self.rates.0[bucket as usize];
        if rate.every_us <= 0 {
            return Ok(());
        }
        let now_us = now.0.saturating_mul(1_000);
        self.kind(bucket, |kind| {
            let full_at = kind.entry(self.hasher.hash_one(key), now_us);
            rate.take(full_at, now_us)
        })
    }

    /// Fills the bucket of `key` again: it was somebody who may.
    pub fn forgive(&self, bucket: Bucket, key: &str) {
        let hash = self.hasher.hash_one(key);
        self.kind(bucket, |kind| kind.full_at.remove(&hash));
    }

    fn kind<T>(&self, bucket: Bucket, act: impl FnOnce(&mut Kind) -> T) -> T {
        let kind = &self.kinds[bucket as usize];
        // What a thread that panicked left is still a number for each key.
        act(&mut kind.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who an address is for a limit: itself, or for IPv6 the /64 it can choose freely from.
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// The buckets of one kind: when each is full again, microseconds. What is not here is full.
#[derive(Debug, Default)]
struct Kind {
    full_at: HashMap<u64, i64>,
    /// Shared by the keys there is no room for.
    crowd: i64,
    swept_at: i64,
}

impl Kind {
    fn entry(&mut self, hash: u64, now_us: i64) -> &mut i64 {
        let crowded = self.full_at.len() >= MOST_KEYS && !self.full_at.contains_key(&hash);
        if crowded && now_us.saturating_sub(self.swept_at).abs() >= SWEEP_EVERY_US {
            self.swept_at = now_us;
            self.full_at.retain(|_, full_at| *full_at > now_us);
        }
        if crowded && self.full_at.len() >= MOST_KEYS {
            return &mut self.crowd;
        }
        self.full_at.entry(hash).or_insert(now_us)
    }
}

impl Rate {
    fn take(self, full_at: &mut i64, now_us: i64) -> Result<(), Wait> {
        let size = i64::from(self.burst.max(1)).saturating_mul(self.every_us);
        // A clock that was set back must not lock anybody out for as long as it went back.
        let filled = (*full_at).clamp(now_us, now_us.saturating_add(size));
        let after = filled.saturating_add(self.every_us);
        let over = after.saturating_sub(now_us).saturating_sub(size);
        if over > 0 {
            let ms = u64::try_from(over).unwrap_or(1).div_ceil(1_000);
            return Err(Wait { ms });
        }
        *full_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UtcMillis = UtcMillis(1_800_000_000_000);

    fn two_a_second(burst: u32) -> Limits {
        Limits::new(Rates::default().with(Bucket::Calls, Rate::per_minute(120, burst)))
    }

    #[test]
    fn a_burst_then_one_for_each_interval() {
        let limits = two_a_second(3);
        let take = |ms| limits.take(Bucket::Calls, "a", START.plus_ms(ms));
        for _ in 0..3 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), Err(Wait { ms: 500 }));
        assert_eq!(take(400), Err(Wait { ms: 100 }));
        assert_eq!(take(500), Ok(()));
        assert_eq!(take(500), Err(Wait { ms: 500 }));
        assert_eq!(limits.take(Bucket::Calls, "b", START), Ok(()));
        assert_eq!(limits.take(Bucket::Requests, "a", START), Ok(()));
        limits.forgive(Bucket::Calls, "a");
        for _ in 0..3 {
            assert_eq!(take(500), Ok(()));
        }
        assert_eq!(Wait { ms: 1_001 }.seconds(), 2);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let limits = two_a_second(2);
        for _ in 0..2 {
            assert_eq!(limits.take(Bucket::Calls, "a", START), Ok(()));
        }
        let day_before = START.plus_ms(-86_400_000);
        assert_eq!(
            limits.take(Bucket::Calls, "a", day_before),
            Err(Wait { ms: 500 })
        );
    }

    #[test]
    fn any_number_of_keys_takes_bounded_room() {
        let limits = two_a_second(1);
        let take = |key: usize, ms| limits.take(Bucket::Calls, &key.to_string(), START.plus_ms(ms));
        for key in 0..MOST_KEYS {
            assert_eq!(take(key, 0), Ok(()));
        }
        // Strangers share what is left; who is known keeps its own bucket.
        assert_eq!(take(MOST_KEYS, 1), Ok(()));
        assert!(take(MOST_KEYS + 1, 1).is_err());
        assert!(take(0, 1).is_err());
        assert_eq!(take(0, 500), Ok(()));
        // Full buckets make room again.
        assert_eq!(take(MOST_KEYS + 2, 2_000), Ok(()));
        let kept = limits.kind(Bucket::Calls, |kind| kind.full_at.len());
        assert_eq!(kept, 1);
    }

    #[test]
    fn no_rate_is_no_limit_and_addresses_of_one_network_count_together() {
        let free = Limits::new(Rates::default().with(Bucket::Calls, Rate::per_minute(0, 1)));
        for _ in 0..10_000 {
            assert_eq!(free.take(Bucket::Calls, "a", START), Ok(()));
        }
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
    }
}
