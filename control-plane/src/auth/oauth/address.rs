//! This server's address as a client names it, and which resources are ours.
//!
//! A server on this machine has several names (`localhost`, `127.0.0.1`, `[::1]`): a client must find
//! the one it uses in the metadata (RFC 9728 section 3.3, RFC 8414 section 3.3), so the answer
//! follows the request's `Host` among them. A server with a public address has that one alone,
//! whatever a proxy puts into `Host`.

use axum::http::{HeaderMap, header};
use url::{Host, Url};

/// Where the protected resource is: the server itself, and both paths of the MCP endpoint.
pub(crate) const RESOURCE_PATHS: [&str; 3] = ["", "/mcp", "/api/v2/agent/mcp"];

/// The base address, without a slash at the end: `own`, or the other name of this machine that the
/// request used. It is the issuer.
pub(crate) fn base(own: &str, headers: &HeaderMap) -> String {
    let named = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    named
        .and_then(|host| other_name(own, host))
        .unwrap_or_else(|| own.to_owned())
}

/// Whether `resource` is this server's MCP endpoint (RFC 8707 section 2: absolute, no fragment).
pub(crate) fn is_ours(own: &str, resource: &str) -> bool {
    let (Ok(own), Ok(resource)) = (Url::parse(own), Url::parse(resource)) else {
        return false;
    };
    let path = resource.path().trim_end_matches('/');
    resource.fragment().is_none()
        && resource.query().is_none()
        && is_bare(&resource)
        && same_server(&own, &resource)
        && RESOURCE_PATHS.contains(&path)
}

fn other_name(own: &str, host: &str) -> Option<String> {
    let own = Url::parse(own).ok()?;
    let named = Url::parse(&format!("{}://{host}", own.scheme())).ok()?;
    let plain = named.path() == "/" && named.query().is_none() && named.fragment().is_none();
    (plain && is_bare(&named) && is_loopback(&own) && same_server(&own, &named))
        .then(|| named.origin().ascii_serialization())
}

/// Same scheme and port, and the same host or two names of this machine.
fn same_server(own: &Url, other: &Url) -> bool {
    own.scheme() == other.scheme()
        && own.port_or_known_default() == other.port_or_known_default()
        && (own.host() == other.host() || (is_loopback(own) && is_loopback(other)))
}

fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "http://127.0.0.1:4880";
    const PUBLIC: &str = "https://hostler.example.com";

    fn at(own: &str, host: &str) -> String {
        let host = host.parse().unwrap();
        base(own, &[(header::HOST, host)].into_iter().collect())
    }

    #[test]
    fn the_names_of_this_machine_are_followed_and_no_others() {
        assert_eq!(at(LOCAL, "localhost:4880"), "http://localhost:4880");
        assert_eq!(at(LOCAL, "[::1]:4880"), "http://[::1]:4880");
        for strange in [
            "localhost:1",
            "evil.example",
            "x@localhost:4880",
            "localhost:4880/x",
            "",
        ] {
            assert_eq!(at(LOCAL, strange), LOCAL, "{strange}");
        }
        assert_eq!(at(PUBLIC, "127.0.0.1:4880"), PUBLIC);
        assert_eq!(at(PUBLIC, "localhost"), PUBLIC);
        assert_eq!(base(LOCAL, &HeaderMap::new()), LOCAL);
    }

    #[test]
    fn a_resource_is_ours_by_any_of_its_names() {
        for resource in [
            "http://127.0.0.1:4880",
            "http://127.0.0.1:4880/",
            "http://localhost:4880/mcp",
            "HTTP://LOCALHOST:4880/api/v2/agent/mcp/",
            "http://[::1]:4880/mcp",
        ] {
            assert!(is_ours(LOCAL, resource), "{resource}");
        }
        for resource in [
            "https://127.0.0.1:4880/mcp",
            "http://127.0.0.1:4881/mcp",
            "http://127.0.0.1:4880/other",
            "http://127.0.0.1:4880/mcp#x",
            "http://127.0.0.1:4880/mcp?x",
            "http://x@127.0.0.1:4880/mcp",
            "http://evil.example:4880/mcp",
            "/mcp",
            "",
        ] {
            assert!(!is_ours(LOCAL, resource), "{resource}");
        }
        assert!(is_ours(PUBLIC, "https://hostler.example.com:443/mcp"));
        assert!(!is_ours(PUBLIC, "https://localhost/mcp"));
    }
}
