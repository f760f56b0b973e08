//! Under which names this server may be asked, and from which pages.
//!
//! A page of others whose name was made to lead here (DNS rebinding) asks under its own name, and a
//! form of others says where it came from: both are refused. A number that is the connection's own
//! address cannot be such a name.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, Uri, header};

use crate::App;

/// This machine, under any port.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Of the public URL, as in a Host header (no usual port).
    authority: String,
    /// `https://hostler.example.com`.
    origin: String,
}

/// Whether a browser says that a page of others made this request.
pub(crate) fn came_from_elsewhere(app: &App, headers: &HeaderMap) -> bool {
    !Names::of(&app.server.url).origin(headers)
}

impl Names {
    /// Those of a base URL.
    pub(super) fn of(url: &str) -> Self {
        let origin = url::Url::parse(url)
            .map(|url| url.origin().ascii_serialization())
            .unwrap_or_default();
        let authority = origin.split_once("://").map_or("", |(_, rest)| rest);
        Self {
            authority: authority.to_owned(),
            origin,
        }
    }

    /// Whether a request names this server: 400 when it names none or several, 421 when another
    /// (RFC 9110 sections 7.2 and 15.5.20).
    pub(super) fn host(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        local: Option<SocketAddr>,
    ) -> Result<(), StatusCode> {
        let mut lines = headers.get_all(header::HOST).iter();
        let line = match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().ok().ok_or(StatusCode::BAD_REQUEST)?,
            (None, _) | (Some(_), Some(_)) => return Err(StatusCode::BAD_REQUEST),
        };
        let asked = uri.authority().map_or(line, |authority| authority.as_str());
        if self.is_ours(asked, local) {
            Ok(())
        } else {
            Err(StatusCode::MISDIRECTED_REQUEST)
        }
    }

    /// Whether what asks is no page of others. A browser says it in `Sec-Fetch-Site` (Fetch Metadata);
    /// one that does not know that says the page's origin; a program says neither. The first counts:
    /// the second is `null` also for our own forms where a page has no referrer.
    pub(super) fn origin(&self, headers: &HeaderMap) -> bool {
        let mut sites = headers.get_all("sec-fetch-site").iter();
        match (sites.next(), sites.next()) {
            (Some(site), None) => matches!(site.as_bytes(), b"same-origin" | b"none"),
            (Some(_), Some(_)) => false,
            (None, _) => self.has_our_origin(headers),
        }
    }

    fn has_our_origin(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        match (origins.next(), origins.next()) {
            // A form of ours, on a page without a referrer, in a browser that says nothing better (Safari
            // over plain HTTP on its own machine): the form's token decides.
            (Some(origin), None) if origin == "null" => true,
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| {
                let same = origin.split_once("://").map(|(_, rest)| rest) == host;
                same || origin == self.origin
            }),
            (Some(_), Some(_)) => false,
            (None, _) => true,
        }
    }

    fn is_ours(&self, asked: &str, local: Option<SocketAddr>) -> bool {
        let asked = asked.to_ascii_lowercase();
        let (name, port) = split(&asked);
        if LOOPBACK.contains(&name) {
            return port.is_none_or(|port| port.parse::<u16>().is_ok());
        }
        let by_number = name.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let here = by_number.is_some_and(|address| {
            local.is_some_and(|local| local.ip().to_canonical() == address.to_canonical())
        });
        here || asked == self.authority || self.without_usual_port(&asked) == self.authority
    }

    fn without_usual_port<'a>(&self, asked: &'a str) -> &'a str {
        let usual = if self.origin.starts_with("https:") {
            ":443"
        } else {
            ":80"
        };
        asked.strip_suffix(usual).unwrap_or(asked)
    }
}

/// Whether a base URL leads to this machine itself.
pub(super) fn is_loopback(authority: &str) -> bool {
    LOOPBACK.contains(&split(authority).0)
}

/// A name (IPv6 in brackets) and its port.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn asked(names: &Names, host: &str) -> bool {
        let local = Some("192.168.1.5:4880".parse().unwrap());
        let found = names.host(&"/".parse().unwrap(), &headers(&[("host", host)]), local);
        found.is_ok()
    }

    #[test]
    fn only_our_names_are_answered() {
        let names = Names::of("https://hostler.example.com");
        for ours in [
            "hostler.example.com",
            "HOSTLER.example.com:443",
            "localhost",
            "localhost:4880",
            "127.0.0.1:9",
            "[::1]:4880",
            "[::1]",
            "192.168.1.5:4880",
            "[::ffff:192.168.1.5]",
        ] {
            assert!(asked(&names, ours), "{ours}");
        }
        for other in [
            "evil.example",
            "hostler.example.com.evil.example",
            "hostler.example.com:8443",
            "localhost.evil.example",
            "192.168.1.6:4880",
            "localhost:4880:1",
            "localhost:x",
            "",
            "0.0.0.0:4880",
        ] {
            assert!(!asked(&names, other), "{other}");
        }
        let with_port = Names::of("http://box.lan:4880/");
        assert!(asked(&with_port, "box.lan:4880"));
        assert!(!asked(&with_port, "box.lan"));
    }

    #[test]
    fn one_host_line_and_the_targets_own_name_counts() {
        let names = Names::of("http://127.0.0.1:4880");
        let judge = |uri: &str, lines: &[(&'static str, &str)]| {
            names.host(&uri.parse().unwrap(), &headers(lines), None)
        };
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(judge("/", &twice), Err(StatusCode::BAD_REQUEST));
        assert_eq!(judge("/", &[]), Err(StatusCode::BAD_REQUEST));
        let ours = [("host", "localhost")];
        assert_eq!(
            judge("http://evil.example/", &ours),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
        assert_eq!(judge("http://localhost/", &ours), Ok(()));
    }

    #[test]
    fn pages_of_others_are_told_by_what_browsers_say() {
        let names = Names::of("https://hostler.example.com");
        let may = |lines: &[(&'static str, &str)]| names.origin(&headers(lines));
        let host = ("host", "localhost:4880");
        assert!(may(&[host]));
        assert!(may(&[host, ("origin", "http://localhost:4880")]));
        assert!(may(&[host, ("origin", "https://hostler.example.com")]));
        assert!(may(&[host, ("sec-fetch-site", "same-origin")]));
        let no_referrer = ("origin", "null");
        assert!(may(&[host, ("sec-fetch-site", "same-origin"), no_referrer]));
        assert!(may(&[host, no_referrer]));
        assert!(!may(&[host, ("sec-fetch-site", "cross-site"), no_referrer]));
        for other in ["http://localhost:3000", "https://evil.example", ""] {
            assert!(!may(&[host, ("origin", other)]), "{other}");
        }
        assert!(!may(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!may(&[host, ("sec-fetch-site", "same-site")]));
        let site = ("sec-fetch-site", "same-origin");
        assert!(!may(&[host, site, ("sec-fetch-site", "cross-site")]));
        let two = ("origin", "http://localhost:4880");
        assert!(!may(&[host, two, ("origin", "https://evil.example")]));
    }
}
