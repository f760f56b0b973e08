//! Links that have not proved yet whose they are: so many at a time, and so many from one address, so
//! that nobody without a host's key keeps hosts out. Who they are is not known here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::address_key;

/// At a time.
const MOST: usize = 256;

/// At a time from one address; more hosts than that behind one come back a moment later.
const MOST_EACH: usize = 64;

/// The places of such links, by address.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting(Arc<Mutex<HashMap<String, usize>>>);

/// One link's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Greeting,
    key: String,
}

impl Greeting {
    /// A place for a link from this address; none when there is none left.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let key = address_key(address);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&key).copied().unwrap_or_default();
        if own >= MOST_EACH || taken.values().sum::<usize>() >= MOST {
            return None;
        }
        taken.insert(key.clone(), own + 1);
        let of = self.clone();
        Some(Place { of, key })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(taken.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_for_others() {
        let greeting = Greeting::default();
        let enter = |address: &str| greeting.enter(address.parse().unwrap());
        let greedy: Vec<_> = (0..MOST).map_while(|_| enter("10.0.0.1")).collect();
        assert_eq!(greedy.len(), MOST_EACH);
        let other = enter("10.0.0.2").unwrap();
        // One network of IPv6 is one address.
        let network = |number: usize| enter(&format!("2001:db8::{number:x}"));
        let many: Vec<_> = (0..MOST).map_while(network).collect();
        assert_eq!(many.len(), MOST_EACH);
        let crowd = |number: usize| enter(&format!("10.0.1.{number}"));
        let crowd: Vec<_> = (0..MOST).map_while(crowd).collect();
        assert_eq!(greedy.len() + 1 + many.len() + crowd.len(), MOST);
        assert!(enter("10.0.0.3").is_none());
        drop(greedy);
        assert!(enter("10.0.0.1").is_some());
        drop((other, many, crowd));
        assert!(greeting.is_empty());
    }
}
