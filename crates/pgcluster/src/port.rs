//! Free ports on loopback, for servers that cannot listen on port 0, or whose address must be known
//! before they start.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, ErrorKind},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// First port of the range; well-known services use lower ones.
const FIRST: u16 = 10_000;
/// Start of the ephemeral ports if the system does not report it: Linux's default.
const FIRST_EPHEMERAL: u16 = 32_768;

/// Returns `count` different ports on which no process listens.
///
/// The ports are not ephemeral: an outgoing connection could take an ephemeral port before the
/// server does. Another server may still take a port; the start then fails with an error.
///
/// # Errors
///
/// When fewer than `count` ports are free.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let range = FIRST..first_ephemeral().max(FIRST + 1);
    let start = RandomState::new().hash_one(std::process::id());
    // Kept open until all are found, so that they differ.
    let mut listeners = Vec::with_capacity(count);
    for port in from(&range, start) {
        if listeners.len() == count {
            break;
        }
        listeners.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    if listeners.len() < count {
        let message =
            format!("only {} of {count} ports between {FIRST} and {} are free", listeners.len(), range.end);
        return Err(io::Error::new(ErrorKind::AddrInUse, message));
    }
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Like [`free_ports`], as addresses on loopback.
///
/// # Errors
///
/// When fewer than `COUNT` ports are free.
pub fn free_addresses<const COUNT: usize>() -> io::Result<[String; COUNT]> {
    let ports: [u16; COUNT] = free_ports(COUNT)?.try_into().map_err(|_| ErrorKind::AddrInUse)?;
    Ok(ports.map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST)))
}

/// All ports of a range, beginning at a random position.
fn from(range: &Range<u16>, start: u64) -> impl Iterator<Item = u16> + use<> {
    let offset = u16::try_from(start % u64::try_from(range.len()).unwrap_or(1)).unwrap_or_default();
    let middle = range.start + offset;
    (middle..range.end).chain(range.start..middle)
}

fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(FIRST_EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_not_ephemeral() {
        let mut ports = free_ports(50).unwrap();
        assert!(ports.iter().all(|port| (FIRST..first_ephemeral()).contains(port)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn every_port_of_the_range_is_tried_once() {
        let mut ports: Vec<u16> = from(&(10..20), 17).collect();
        assert_eq!(ports[0], 17);
        ports.sort_unstable();
        assert_eq!(ports, (10..20).collect::<Vec<_>>());
    }
}
