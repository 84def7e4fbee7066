//! Facts about this machine.

use std::{fs::File, io::Read as _, path::Path};

use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    system::uname,
};

/// Maximum size that is read of the file with the name of the operating system.
const MAX_OS_RELEASE_BYTES: u64 = 64 << 10;

/// Name of this machine.
pub(crate) fn host_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// Whether files of a directory cannot be executed.
pub(crate) fn is_noexec(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Name and version of the distribution, and the kernel.
pub(crate) fn os_version() -> String {
    let release = ["/etc/os-release", "/usr/lib/os-release"].into_iter().find_map(|path| {
        let mut text = Vec::new();
        File::open(path).ok()?.take(MAX_OS_RELEASE_BYTES).read_to_end(&mut text).ok()?;
        pretty_name(&String::from_utf8_lossy(&text))
    });
    let kernel = uname();
    let kernel = format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy());
    let parts = [release.unwrap_or_default(), kernel];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_ends_with_the_kernel() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let version = os_version();
        assert!(version.ends_with(&format!("Linux {}", kernel.trim())), "{version}");
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
}
