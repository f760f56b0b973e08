//! Where a browser may be sent back to.
//!
//! A client says beforehand where. What a request asks for must be the same text, except that the
//! port of a loopback address is chosen when the client starts (RFC 8252 section 7.3). Nothing here
//! is normalized: two texts that mean the same are two addresses.

use url::{Position, Url};

use super::address::is_loopback;

/// Longest address that is taken, bytes.
const MOST_BYTES: usize = 2048;

/// Schemes of editors and agents that register without a domain in their name (RFC 8252 section 7.1
/// would have one). Any other scheme without a dot may be one that the system runs something for.
const KNOWN_SCHEMES: [&str; 10] = [
    "cursor",
    "vscode",
    "vscode-insiders",
    "vscodium",
    "windsurf",
    "zed",
    "warp",
    "goose",
    "raycast",
    "claude",
];

/// Why an address is not taken; none when it is.
pub(crate) fn refused(uri: &str) -> Option<&'static str> {
    if uri.len() > MOST_BYTES {
        return Some("a redirect URI is longer than 2048 bytes");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) || uri.contains(['\\', '"', '<', '>']) {
        return Some("a redirect URI holds characters that belong escaped");
    }
    let Ok(url) = Url::parse(uri) else {
        return Some("a redirect URI is no absolute URL");
    };
    if url.fragment().is_some() {
        return Some("a redirect URI must not have a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("a redirect URI must not hold credentials");
    }
    // `https:x`, `https:/x` and `https:///x` are `https://x` to this reader, and relative to others.
    let web = matches!(url.scheme(), "http" | "https");
    let rest = uri.strip_prefix(url.scheme());
    let after = rest.and_then(|rest| rest.strip_prefix("://"));
    if web && after.is_none_or(|after| after.starts_with('/')) {
        return Some("a redirect URI begins with https:// (or http://) and a host");
    }
    match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some("http:// redirect URIs are for localhost, 127.0.0.1 and [::1] alone"),
        scheme if scheme.contains('.') || KNOWN_SCHEMES.contains(&scheme) => None,
        _ => Some(
            "the redirect URI's scheme is not taken: use https, http on a loopback address, or \
             a scheme that is a domain of yours in reverse",
        ),
    }
}

/// Whether a request may be answered at `asked` when `known` was said beforehand.
pub(crate) fn matches(known: &str, asked: &str) -> bool {
    if known == asked {
        return true;
    }
    let (Some(known), Some(asked)) = (without_port(known), without_port(asked)) else {
        return false;
    };
    known == asked
}

/// A loopback address before and after its port; none for any other.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let url = Url::parse(uri).ok()?;
    if url.scheme() != "http" || !is_loopback(&url) || refused(uri).is_some() {
        return None;
    }
    let rest = uri.strip_prefix("http://")?;
    let (authority, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let port = authority
        .rfind(':')
        .filter(|at| !authority[*at..].contains(']'));
    Some((&authority[..port.unwrap_or(authority.len())], after))
}

/// The address with these parameters added to what it has (RFC 6749 section 4.1.2).
pub(super) fn with(uri: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let joint = match uri.find('?') {
        None => "?",
        Some(at) if at + 1 == uri.len() => "",
        Some(_) => "&",
    };
    format!("{uri}{joint}{}", query.finish())
}

/// The host people are told, or the scheme of a program.
pub(crate) fn shown(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else {
        return uri.to_owned();
    };
    match url.host() {
        Some(_) if matches!(url.scheme(), "http" | "https") => {
            url[Position::BeforeHost..Position::AfterPort].to_owned()
        }
        _ => format!("{}:", url.scheme()),
    }
}

/// Whether the answer goes to a program on the person's own machine.
pub(crate) fn is_local(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| url.scheme() == "http" && is_loopback(&url))
}

/// What a content security policy calls the address (CSP3 section 2.3.1); it has no name for an
/// IPv6 host, so that one is allowed by its scheme.
pub(crate) fn policy_source(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if matches!(url.host(), Some(url::Host::Ipv6(_))) => format!("{}:", url.scheme()),
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => "'none'".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_loopback_and_own_schemes_are_taken() {
        for good in [
            "https://app.example/callback",
            "https://app.example:8443/callback?x=1",
            "http://localhost/callback",
            "http://127.0.0.1:33418/",
            "http://[::1]/cb",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "com.example.app:/callback",
        ] {
            assert_eq!(refused(good), None, "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            "JavaScript://x.y/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://x/1",
            "about:blank",
            "ms-msdt:/id",
            "http://app.example/callback",
            "http://localhost.evil.example/callback",
            "http://127.0.0.1.evil.example/",
            "http://10.0.0.1/callback",
            "https://app.example/callback#x",
            "https://user@app.example/callback",
            "http://localhost\\@evil.example/",
            "https://app.example/call back",
            "https://app.example/\u{202e}",
            "https://",
            "https:app.example/callback",
            "https:/app.example/callback",
            "https:///app.example/callback",
            "HTTPS://app.example/callback",
            "http:localhost/callback",
            "/callback",
            "callback",
            "",
        ] {
            assert!(refused(bad).is_some(), "{bad}");
        }
        assert!(refused(&format!("https://x.example/{}", "a".repeat(2048))).is_some());
    }

    #[test]
    fn only_the_port_of_a_loopback_address_may_differ() {
        for (known, asked) in [
            ("https://a.example/cb", "https://a.example/cb"),
            (
                "http://localhost/callback",
                "http://localhost:5000/callback",
            ),
            ("http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:65535/cb?x=1"),
            ("http://[::1]/cb", "http://[::1]:9/cb"),
            ("http://localhost:1", "http://localhost:2"),
        ] {
            assert!(matches(known, asked), "{known} {asked}");
        }
        for (known, asked) in [
            ("https://a.example/cb", "https://a.example:444/cb"),
            ("https://a.example/cb", "https://a.example/cb/"),
            ("https://a.example/cb", "https://a.example/cb?x"),
            ("https://a.example/cb", "https://A.example/cb"),
            ("https://a.example/cb", "https://a.example.evil/cb"),
            ("http://localhost/cb", "http://127.0.0.1/cb"),
            ("http://localhost/cb", "http://localhost:5/cb2"),
            ("http://localhost/cb", "http://localhost:5/cb?x"),
            ("http://localhost/cb", "http://localhost:5/../cb"),
            ("http://localhost/cb", "https://localhost:5/cb"),
            ("http://localhost/cb", "http://localhost:x/cb"),
            ("http://localhost/cb", "http://localhost:5@evil.example/cb"),
            (
                "http://localhost/cb",
                "http://localhost:5\\@evil.example/cb",
            ),
        ] {
            assert!(!matches(known, asked), "{known} {asked}");
        }
    }

    #[test]
    fn parameters_join_what_is_there() {
        let add = |uri| with(uri, &[("code", Some("a&b")), ("state", None)]);
        assert_eq!(add("https://a/cb"), "https://a/cb?code=a%26b");
        assert_eq!(add("https://a/cb?"), "https://a/cb?code=a%26b");
        assert_eq!(add("https://a/cb?x=1"), "https://a/cb?x=1&code=a%26b");
    }

    #[test]
    fn people_and_policies_are_told_the_host() {
        assert_eq!(shown("http://localhost:5/cb"), "localhost:5");
        assert_eq!(shown("cursor://x/y"), "cursor:");
        assert_eq!(policy_source("http://localhost:5/cb"), "http://localhost:5");
        assert_eq!(policy_source("http://[::1]:5/cb"), "http:");
        assert_eq!(policy_source("cursor://x/y"), "cursor:");
        assert!(is_local("http://127.0.0.1:5/cb") && !is_local("https://127.0.0.1/cb"));
    }
}
