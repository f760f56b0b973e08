//! Who is behind a proxy: `X-Forwarded-For` and `X-Forwarded-Proto`, believed from configured
//! networks alone.
//!
//! Each proxy appends the address it was called from, so the list is read from the right and as far
//! as the addresses are trusted: what a client made up stands further left. RFC 7239's `Forwarded`
//! is not read: few proxies write it, and one that writes either of the two passes the other on as a
//! client made it up, so that reading both is believing clients.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;

use super::{Peer, Socket};

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// What is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write an address or a range, like 10.0.0.5 or 10.0.0.0/8")]
pub struct NoNetwork(String);

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (base.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                (base.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().ok().ok_or_else(wrong)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().ok_or_else(wrong)?,
            None => most,
        };
        (bits <= most)
            .then_some(Self { base, bits })
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// The other side of a request.
pub(super) fn peer(socket: Socket, headers: &HeaderMap, trusted: &[Network]) -> Peer {
    let believed = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let next = socket.remote.ip().to_canonical();
    if !believed(next) {
        return Peer {
            address: next,
            https: socket.tls,
        };
    }
    let secure = words(headers, "x-forwarded-proto").next_back();
    Peer {
        address: first_not_believed(next, headers, believed),
        https: secure.map_or(socket.tls, |scheme| scheme.eq_ignore_ascii_case("https")),
    }
}

/// The address nearest to us that is no proxy of ours; the last good one when the list ends or
/// holds what is no address.
fn first_not_believed(
    mut address: IpAddr,
    headers: &HeaderMap,
    believed: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    for word in words(headers, "x-forwarded-for").rev() {
        let Some(before) = read_address(word) else {
            return address;
        };
        address = before;
        if !believed(address) {
            return address;
        }
    }
    address
}

/// The words of a list header, over all its lines, in order.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or("-").split(',').map(str::trim))
}

/// An address with or without a port: `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]:80`.
fn read_address(word: &str) -> Option<IpAddr> {
    let bare = word
        .strip_prefix('[')
        .and_then(|word| word.strip_suffix(']'));
    let plain = bare.unwrap_or(word);
    let address = match plain.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => word.parse::<SocketAddr>().ok()?.ip(),
    };
    let nobody = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    (!nobody.contains(&address)).then(|| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(remote: &str, lines: &[(&'static str, &str)]) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let socket = Socket {
            remote: SocketAddr::new(remote.parse().unwrap(), 9),
            local: "10.0.0.1:443".parse().unwrap(),
            tls: false,
        };
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let peer = peer(socket, &headers, &trusted);
        (peer.address.to_string(), peer.https)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let made_up = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(seen("9.9.9.9", &made_up), ("9.9.9.9".to_owned(), false));
        assert_eq!(seen("127.0.0.1", &made_up), ("127.0.0.1".to_owned(), false));
    }

    #[test]
    fn a_proxy_is_believed_up_to_the_first_stranger() {
        let one = |list: &str| seen("10.0.0.2", &[("x-forwarded-for", list)]).0;
        assert_eq!(one("1.2.3.4"), "1.2.3.4");
        assert_eq!(one("made up, 6.6.6.6, 1.2.3.4, 10.0.0.3"), "1.2.3.4");
        assert_eq!(one("1.2.3.4:5678"), "1.2.3.4");
        assert_eq!(one("[2001:db8::1]:5678"), "2001:db8::1");
        assert_eq!(one("[2001:db8::1]"), "2001:db8::1");
        assert_eq!(one("::ffff:1.2.3.4"), "1.2.3.4");
        assert_eq!(one("1.2.3.4, nonsense"), "10.0.0.2");
        assert_eq!(one(""), "10.0.0.2");
        assert_eq!(one("10.0.0.9"), "10.0.0.9");
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "1.2.3.4"),
        ];
        assert_eq!(seen("fd00::1", &lines).0, "1.2.3.4");
    }

    #[test]
    fn the_scheme_is_the_nearest_proxys() {
        let https = |value: &str| seen("10.0.0.2", &[("x-forwarded-proto", value)]).1;
        assert!(https("https"));
        assert!(https("http, HTTPS"));
        assert!(!https("https, http"));
        assert!(!seen("10.0.0.2", &[]).1);
    }

    #[test]
    fn networks_are_read_and_matched() {
        let network = |text: &str| text.parse::<Network>();
        assert!(
            network("0.0.0.0/0")
                .unwrap()
                .contains("8.8.8.8".parse().unwrap())
        );
        assert!(
            !network("0.0.0.0/0")
                .unwrap()
                .contains("::1".parse().unwrap())
        );
        assert!(
            network("127.0.0.1")
                .unwrap()
                .contains("127.0.0.1".parse().unwrap())
        );
        assert!(
            !network("127.0.0.1")
                .unwrap()
                .contains("127.0.0.2".parse().unwrap())
        );
        assert!(
            network("::/0")
                .unwrap()
                .contains("2001::1".parse().unwrap())
        );
        for wrong in ["10.0.0.0/33", "example.com", "10.0.0.0/x", "", "::1/129"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }
}
