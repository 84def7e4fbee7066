//! Address at which agents reach this worker, for display.

use std::net::SocketAddr;

/// Listen address; for a wildcard address, the machine's name and the port.
pub(crate) fn for_people(listening: SocketAddr) -> String {
    if listening.ip().is_unspecified() {
        let machine = rustix::system::uname();
        return format!("{}:{}", machine.nodename().to_string_lossy(), listening.port());
    }
    listening.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_told_as_the_machine() {
        assert_eq!(for_people("127.0.0.1:9443".parse().unwrap()), "127.0.0.1:9443");
        for everywhere in ["0.0.0.0:9443", "[::]:9443"] {
            let address = for_people(everywhere.parse().unwrap());
            assert!(
                address.ends_with(":9443") && address.len() > 5 && !address.starts_with(['0', '[']),
                "{address}"
            );
        }
    }
}
