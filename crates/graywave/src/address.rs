//! Addresses as this machine reaches them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Replaces an unspecified address, on which a listener accepts from everywhere, by the loopback
/// address.
pub(crate) fn loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_address_becomes_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:9100", "127.0.0.1:9100"),
            ("[::]:9100", "[::1]:9100"),
            ("127.0.0.3:1", "127.0.0.3:1"),
            ("10.1.2.3:9", "10.1.2.3:9"),
        ] {
            assert_eq!(loopback(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
