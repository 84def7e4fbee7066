//! Facts about this machine. They change while the agent runs, so they are read for each connection
//! and each minute.

use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, ToSocketAddrs as _, UdpSocket},
    path::Path,
};

use proto::{limits::MAX_DESKTOP_TEXT_CHARS, types::Desktop};
use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    system::uname,
};

/// Tag of a desktop whose data directory is mounted with this option: scripts there run, but cannot
/// execute their own files.
const NOEXEC_TAG: (&str, &str) = ("graywave/data-dir", "noexec");

/// Maximum size that is read of the file with the name of the operating system.
const MAX_OS_RELEASE_BYTES: u64 = 64 << 10;

/// Reads the facts of this machine into its description. `peer` is the host and port that the
/// connection goes to, a worker or a proxy. It gives the machine's own address in that network; a
/// configured address stays.
pub(crate) fn refresh(described: &Desktop, data_dir: &Path, peer: Option<(&str, u16)>) -> Desktop {
    let ip_address = match described.ip_address.as_str() {
        "" => peer.and_then(own_address).map(|address| address.to_string()).unwrap_or_default(),
        configured => configured.to_owned(),
    };
    let mut tags = described.tags.clone();
    if statvfs(data_dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        tags.insert(NOEXEC_TAG.0.to_owned(), NOEXEC_TAG.1.to_owned());
    }
    Desktop {
        ip_address,
        os_version: os_version(),
        // Delegation of a cgroup may change, as at an upgrade of the service.
        containment: runner::contain_processes().as_str().to_owned(),
        os_host_name: uname().nodename().to_string_lossy().into_owned(),
        // Without a known zone, time windows are read in UTC.
        time_zone: iana_time_zone::get_timezone().unwrap_or_default(),
        tags,
        ..described.clone()
    }
}

/// Name and version of the distribution, and the kernel.
fn os_version() -> String {
    let release = ["/etc/os-release", "/usr/lib/os-release"].into_iter().find_map(|path| {
        let mut text = Vec::new();
        File::open(path).ok()?.take(MAX_OS_RELEASE_BYTES).read_to_end(&mut text).ok()?;
        pretty_name(&String::from_utf8_lossy(&text))
    });
    let kernel = uname();
    let kernel = format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy());
    let parts = [release.unwrap_or_default(), kernel];
    let text =
        parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
    // A worker refuses a desktop with a longer text.
    text.chars().filter(|char| !char.is_control()).take(MAX_DESKTOP_TEXT_CHARS).collect()
}

/// Name and version in the format of os-release(5): a subset of the shell's assignments.
fn pretty_name(release: &str) -> Option<String> {
    let value = |key: &str| {
        let assigned = release.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        Some(unquoted(assigned)).filter(|value| !value.is_empty())
    };
    value("PRETTY_NAME").or_else(|| {
        let name = value("NAME")?;
        Some(value("VERSION").map_or_else(|| name.clone(), |version| format!("{name} {version}")))
    })
}

/// Value without its quotes and the backslashes that escape.
fn unquoted(assigned: &str) -> String {
    let assigned = assigned.trim();
    let quoted = |quote| assigned.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = quoted('\'') {
        return literal.to_owned();
    }
    let mut value = String::new();
    let mut chars = quoted('"').unwrap_or(assigned).chars();
    while let Some(char) = chars.next() {
        value.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    value
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
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(desktop.os_version.ends_with(&format!("Linux {}", kernel.trim())), "{}", desktop.os_version);
        assert_ne!(desktop.os_version, "Old 1");
    }

    #[test]
    fn name_of_the_system_is_read_like_a_shell_reads_it() {
        for (release, name) in [
            (
                "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
                Some("Debian GNU/Linux 12 (bookworm)"),
            ),
            ("PRETTY_NAME='One $HOME'\r\n", Some("One $HOME")),
            ("PRETTY_NAME=\"a \\\"b\\\" \\$c \\\\\"", Some("a \"b\" $c \\")),
            ("# PRETTY_NAME=no\nNAME=Alpine\nVERSION_ID=3\n", Some("Alpine")),
            ("NAME=\"Rocky Linux\"\nVERSION=\"9.4\"\nPRETTY_NAME=\"\"", Some("Rocky Linux 9.4")),
            ("PRETTY_NAME=Arch", Some("Arch")),
            ("PRETTY_NAMES=x\n\u{0}", None),
            ("", None),
        ] {
            assert_eq!(pretty_name(release).as_deref(), name, "{release:?}");
        }
    }

    #[test]
    fn configured_address_stays() {
        let known = Desktop { ip_address: "10.0.0.7".into(), ..Desktop::default() };
        assert_eq!(refresh(&known, Path::new("/"), Some(("127.0.0.1", 9))).ip_address, "10.0.0.7");
        let unknown = refresh(&Desktop::default(), Path::new("/"), None);
        assert_eq!(unknown.ip_address, "");
    }
}
