//! Facts about this machine. They change while the agent runs, so they are read for each connection
//! and each minute.

use std::{
    net::{IpAddr, ToSocketAddrs as _, UdpSocket},
    path::Path,
};

use proto::{limits::MAX_DESKTOP_TEXT_CHARS, types::Desktop};

use crate::platform;

/// Tag of a desktop whose data directory is mounted with this option: scripts there run, but cannot
/// execute their own files.
const NOEXEC_TAG: (&str, &str) = ("graywave/data-dir", "noexec");

/// Reads the facts of this machine into its description. `peer` is the host and port that the
/// connection goes to, a worker or a proxy. It gives the machine's own address in that network; a
/// configured address stays.
pub(crate) fn refresh(described: &Desktop, data_dir: &Path, peer: Option<(&str, u16)>) -> Desktop {
    let ip_address = match described.ip_address.as_str() {
        "" => peer.and_then(own_address).map(|address| address.to_string()).unwrap_or_default(),
        configured => configured.to_owned(),
    };
    let mut tags = described.tags.clone();
    if platform::is_noexec(data_dir) {
        tags.insert(NOEXEC_TAG.0.to_owned(), NOEXEC_TAG.1.to_owned());
    }
    Desktop {
        ip_address,
        os_version: desktop_text(&platform::os_version()),
        // Delegation of a cgroup may change, as at an upgrade of the service.
        containment: runner::contain_processes().as_str().to_owned(),
        os_host_name: desktop_text(&platform::host_name()),
        // Without a known zone, time windows are read in UTC.
        time_zone: iana_time_zone::get_timezone().unwrap_or_default(),
        tags,
        ..described.clone()
    }
}

/// Text without control characters. A worker refuses a desktop with a longer one.
fn desktop_text(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(MAX_DESKTOP_TEXT_CHARS).collect()
}

/// Address from which this machine reaches a host. Sends nothing.
fn own_address(peer: (&str, u16)) -> Option<IpAddr> {
    let peer = peer.to_socket_addrs().ok()?.next()?;
    let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_replace_what_was_known() {
        let known = Desktop {
            desktop_id: "d".into(),
            os_host_name: "old".into(),
            time_zone: "Old/Zone".into(),
            os_version: "Old 1".into(),
            containment: "OLD".into(),
            ..Desktop::default()
        };
        let desktop = refresh(&known, Path::new("/"), Some(("127.0.0.1", 9)));
        assert_eq!((desktop.desktop_id.as_str(), desktop.ip_address.as_str()), ("d", "127.0.0.1"));
        assert!(desktop.os_host_name != "old" && desktop.time_zone != "Old/Zone");
        assert_eq!(desktop.containment, runner::contain_processes().as_str());
        assert!(desktop.os_version != "Old 1" && !desktop.os_version.is_empty());
    }

    #[test]
    fn configured_address_stays() {
        let known = Desktop { ip_address: "10.0.0.7".into(), ..Desktop::default() };
        assert_eq!(refresh(&known, Path::new("/"), Some(("127.0.0.1", 9))).ip_address, "10.0.0.7");
        let unknown = refresh(&Desktop::default(), Path::new("/"), None);
        assert_eq!(unknown.ip_address, "");
    }
}
