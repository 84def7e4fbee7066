//! Facts about this machine. They change while the agent runs, so they are read for each connection
//! and each minute.

use std::{
    net::{IpAddr, ToSocketAddrs as _, UdpSocket},
    path::Path,
};

use proto::types::Desktop;
use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    system::uname,
};

/// Tag of a desktop whose data directory is mounted with this option: scripts there run, but cannot
/// execute their own files.
const NOEXEC_TAG: (&str, &str) = ("graywave/data-dir", "noexec");

/// Reads the facts of this machine into its description. `worker` is the host and port of the
/// connection, for the machine's own address in that network; a configured address stays.
pub(crate) fn refresh(described: &Desktop, data_dir: &Path, worker: Option<(&str, u16)>) -> Desktop {
    let ip_address = match described.ip_address.as_str() {
        "" => worker.and_then(own_address).map(|address| address.to_string()).unwrap_or_default(),
        configured => configured.to_owned(),
    };
    let mut tags = described.tags.clone();
    if statvfs(data_dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        tags.insert(NOEXEC_TAG.0.to_owned(), NOEXEC_TAG.1.to_owned());
    }
    Desktop {
        ip_address,
        os_host_name: uname().nodename().to_string_lossy().into_owned(),
        // Without a known zone, time windows are read in UTC.
        time_zone: iana_time_zone::get_timezone().unwrap_or_default(),
        tags,
        ..described.clone()
    }
}

/// Address from which this machine reaches a host. Sends nothing.
fn own_address(worker: (&str, u16)) -> Option<IpAddr> {
    let worker = worker.to_socket_addrs().ok()?.next()?;
    let any: IpAddr = if worker.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(worker).ok()?;
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
            ..Desktop::default()
        };
        let desktop = refresh(&known, Path::new("/"), Some(("127.0.0.1", 9)));
        assert_eq!((desktop.desktop_id.as_str(), desktop.ip_address.as_str()), ("d", "127.0.0.1"));
        assert!(desktop.os_host_name != "old" && desktop.time_zone != "Old/Zone");
    }

    #[test]
    fn configured_address_stays() {
        let known = Desktop { ip_address: "10.0.0.7".into(), ..Desktop::default() };
        assert_eq!(refresh(&known, Path::new("/"), Some(("127.0.0.1", 9))).ip_address, "10.0.0.7");
        let unknown = refresh(&Desktop::default(), Path::new("/"), None);
        assert_eq!(unknown.ip_address, "");
    }
}
