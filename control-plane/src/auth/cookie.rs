//! Cookies of the console: how they are named, set and found.
//!
//! They are bound to this host, kept from scripts and from other sites' forms
//! (RFC 6265bis section 4.1.3.2: `__Host-`, with `Secure`, `HttpOnly` and `SameSite=Lax`). Browsers
//! take such cookies over TLS and on their own machine (`http://127.0.0.1`), except Safari, which
//! takes nothing marked `Secure` there: it alone, there alone, is given a cookie without that mark,
//! under a name that is read nowhere else.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};
use hostler_proto::error::{ErrorCode, Failure};

use crate::edge::Peer;

/// A cookie by its name, without prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    bound: &'static str,
    plain: &'static str,
}

/// The session's secret.
pub(crate) const SESSION: Cookie = Cookie {
    bound: "__Host-hostler",
    plain: "hostler",
};

/// The browser itself, signed in or not.
pub(crate) const FORM: Cookie = Cookie {
    bound: "__Host-hostler-form",
    plain: "hostler-form",
};

/// A sign-in at another provider that was begun here.
pub(crate) const AWAY: Cookie = Cookie {
    bound: "__Host-hostler-away",
    plain: "hostler-away",
};

impl Cookie {
    /// What a request holds of it.
    pub(crate) fn read(self, headers: &HeaderMap, peer: Peer) -> Option<&str> {
        let found = pair(headers, self.bound);
        let plain = || {
            on_own_machine(headers, peer)
                .then(|| pair(headers, self.plain))
                .flatten()
        };
        found.or_else(plain)
    }

    /// The `Set-Cookie` that gives it; `seconds` limits its life, none ends it with the browser.
    pub(crate) fn set(
        self,
        value: &str,
        seconds: Option<i64>,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<HeaderValue, Failure> {
        let life = seconds.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
        let (name, secure) = if on_own_machine(headers, peer) && is_safari(headers) {
            (self.plain, "")
        } else {
            (self.bound, "; Secure")
        };
        let text = format!("{name}={value}; Path=/{life}{secure}; HttpOnly; SameSite=Lax");
        HeaderValue::from_str(&text).map_err(|error| {
            Failure::new(ErrorCode::HostError, "a cookie cannot be set").detail(error.to_string())
        })
    }

    /// The `Set-Cookie` that takes it away.
    pub(crate) fn clear(self, headers: &HeaderMap, peer: Peer) -> Result<HeaderValue, Failure> {
        self.set("", Some(0), headers, peer)
    }
}

/// Whether a browser that sends this request would keep a cookie of ours: over TLS (also in front of
/// a proxy), or on its own machine.
pub(crate) fn is_kept(url: &str, headers: &HeaderMap, peer: Peer) -> bool {
    peer.https || url.starts_with("https://") || host_is_loopback(headers)
}

/// The value of a pair in the request's cookies (RFC 6265 section 5.4: split by semicolons).
fn pair<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE);
    let mut pairs = cookies
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    Some(value)
}

/// Plain http from this machine to itself, under a name of its own.
fn on_own_machine(headers: &HeaderMap, peer: Peer) -> bool {
    !peer.https && peer.address.to_canonical().is_loopback() && host_is_loopback(headers)
}

fn host_is_loopback(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let name = host.unwrap_or_default();
    let name = match name.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => name.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Safari says `Safari` and no other browser's name; the others on its engine's heels say their own.
fn is_safari(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or("");
    let others = ["Chrome/", "Chromium/", "Edg/", "OPR/", "Android"];
    agent.contains("Safari/")
        && agent.contains("AppleWebKit/")
        && !others.iter().any(|other| agent.contains(other))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
        (KHTML, like Gecko) Version/18.3 Safari/605.1.15";
    const CHROME: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 \
        (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

    fn request(host: &str, agent: &str, cookie: &str) -> HeaderMap {
        let pairs = [
            (header::HOST, host),
            (header::USER_AGENT, agent),
            (header::COOKIE, cookie),
        ];
        let pairs = pairs.into_iter();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn peer(address: [u8; 4], https: bool) -> Peer {
        Peer {
            address: IpAddr::V4(Ipv4Addr::from(address)),
            https,
        }
    }

    #[test]
    fn only_safari_on_its_own_machine_gets_a_cookie_that_is_not_secure() {
        let own = peer([127, 0, 0, 1], false);
        let set = |host: &str, agent: &str, peer: Peer| {
            let headers = request(host, agent, "");
            let set = SESSION.set("se_x", Some(60), &headers, peer).unwrap();
            set.to_str().unwrap().to_owned()
        };
        for host in [
            "127.0.0.1:4880",
            "localhost:4880",
            "[::1]:4880",
            "localhost",
        ] {
            assert_eq!(
                set(host, SAFARI, own),
                "hostler=se_x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
            );
            assert_eq!(
                set(host, CHROME, own),
                "__Host-hostler=se_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
            );
        }
        for (host, peer) in [
            ("hostler.example.com", own),
            ("localhost.example.com", own),
            ("127.0.0.1:4880", peer([10, 0, 0, 9], false)),
            ("127.0.0.1:4880", peer([127, 0, 0, 1], true)),
        ] {
            assert!(
                set(host, SAFARI, peer).starts_with("__Host-hostler="),
                "{host}"
            );
        }
    }

    #[test]
    fn the_name_without_a_prefix_is_read_on_the_own_machine_alone() {
        let cookies = "a=b; hostler=plain";
        let own = peer([127, 0, 0, 1], false);
        let read = |host: &str, cookies: &str, peer: Peer| {
            let headers = request(host, SAFARI, cookies);
            SESSION.read(&headers, peer).map(str::to_owned)
        };
        assert_eq!(read("127.0.0.1:1", cookies, own).as_deref(), Some("plain"));
        let both = "hostler=plain; __Host-hostler=bound";
        assert_eq!(read("127.0.0.1:1", both, own).as_deref(), Some("bound"));
        for (host, peer) in [
            ("hostler.example.com", own),
            ("127.0.0.1:1", peer([10, 0, 0, 9], false)),
            ("127.0.0.1:1", peer([127, 0, 0, 1], true)),
        ] {
            assert_eq!(read(host, cookies, peer), None, "{host}");
        }
    }
}
