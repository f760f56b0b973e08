//! Which addresses are out in the internet, and not of this machine or the networks it stands in.
//!
//! What is special by the IANA registries (RFC 6890 and its updates) is not public; for IPv6 only
//! what was given out as global unicast is. An IPv4 address inside an IPv6 one is judged as itself.
//! This decides over addresses alone: names are resolved elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address may be connected to on behalf of a stranger.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Networks of IPv4 that are not public: first address and length of the prefix.
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // shared by carriers (RFC 6598)
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, where clouds keep their metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // multicast tunnels
    ([192, 88, 99, 0], 24),  // old 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 3),     // multicast, reserved, broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !NOT_PUBLIC_V4.iter().any(|(first, length)| {
        let first = Ipv4Addr::from(*first).to_bits();
        (bits ^ first) >> (32 - length) == 0
    })
}

/// Parts of global unicast (2000::/3) that are not public after all.
const NOT_PUBLIC_V6: [([u16; 3], u32); 4] = [
    ([0x2001, 0x0000, 0], 23), // protocol assignments, Teredo
    ([0x2001, 0x0db8, 0], 32), // documentation
    ([0x2002, 0x0000, 0], 16), // 6to4: an IPv4 address in disguise
    ([0x3fff, 0x0000, 0], 20), // documentation
];

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let bits = address.to_bits();
    let global = bits >> 125 == 0b001;
    global
        && !NOT_PUBLIC_V6.iter().any(|([a, b, c], length)| {
            let first = Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0).to_bits();
            (bits ^ first) >> (128 - length) == 0
        })
}

/// The address in `::ffff:0:0/96` (mapped) or `64:ff9b::/96` (RFC 6052).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let translated = address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let [.., a, b, c, d] = address.octets();
    address
        .to_ipv4_mapped()
        .or(translated.then(|| Ipv4Addr::new(a, b, c, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 \
        172.32.0.0 192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 \
        2a00:1450:4001:830::200e 2001:4860:4860::8888 ::ffff:8.8.8.8 64:ff9b::8.8.8.8";

    const NOT_PUBLIC: &str = "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 \
        127.9.9.9 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.168.1.1 \
        198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 240.0.0.1 \
        255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 \
        ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b:1::1 100::1 2001::1 \
        2001:1ff::1 2001:db8::1 2002:7f00:1:: 3fff::1 fc00::1 fd12:3456::1 fe80::1 fec0::1 \
        ff02::1";

    #[test]
    fn only_the_open_internet_is_public() {
        for (addresses, public) in [(PUBLIC, true), (NOT_PUBLIC, false)] {
            for address in addresses.split(' ') {
                assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
            }
        }
    }
}
