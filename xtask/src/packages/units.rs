//! Units of systemd: syntax, and no directive that would confine scripts.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};

use super::Versions;
use crate::{process, say};

/// Checks the units as they are installed.
pub(super) fn verify(versions: &Versions) -> anyhow::Result<()> {
    let system = tempfile::tempdir()?;
    for name in ["graywave-agent", "graywave"] {
        let package = versions.deb(name, &versions.present)?;
        process::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(system.path()))?;
    }
    // Programs that the units name besides ours.
    fs::create_dir_all(system.path().join("bin"))?;
    fs::copy("/bin/sh", system.path().join("bin/sh"))?;
    let units = system.path().join("usr/lib/systemd/system");
    for unit in fs::read_dir(&units)? {
        let name = unit?.file_name();
        let mut verify = Command::new("systemd-analyze");
        verify.arg(format!("--root={}", system.path().display())).args(["--man=no", "--generators=no"]);
        let output = verify.arg("verify").arg(&name).output().context("cannot start systemd-analyze")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        // Units of the system are missing in this directory.
        let ours: Vec<&str> = errors.lines().filter(|line| line.contains("graywave")).collect();
        let wrong: Vec<&&str> = ours.iter().filter(|line| !is_expected(line)).collect();
        ensure!(wrong.is_empty(), "systemd-analyze verify {}: {wrong:#?}", name.display());
    }
    say("-- units: accepted by systemd-analyze verify");
    Ok(())
}

/// Whether a message is about a unit of the system, which is not in the directory of the check.
fn is_expected(line: &str) -> bool {
    line.contains("not found") && (line.contains(".target") || line.contains(".slice"))
        || line.contains("Failed to create") && line.contains("start:")
}

#[cfg(test)]
mod tests {
    use crate::root;

    use super::*;

    /// Directives of the agent's unit that a runner can leave, because they only change the view of
    /// the file system.
    const LEFT_BY_RUNNERS: [&str; 3] = ["ProtectSystem", "ProtectHome", "PrivateTmp"];

    /// Prefixes of directives that confine a process and all its children.
    const CONFINING: [&str; 24] = [
        "NoNewPrivileges",
        "Protect",
        "Private",
        "Restrict",
        "Capability",
        "Ambient",
        "SystemCall",
        "Lock",
        "Memory",
        "Limit",
        "IPAddress",
        "SocketBind",
        "UMask",
        "Nice",
        "Device",
        "ReadOnly",
        "Inaccessible",
        "NoExec",
        "TemporaryFileSystem",
        "SecureBits",
        "User",
        "Group",
        "RemoveIPC",
        "TasksMax",
    ];

    /// Directives of a unit that would confine the scripts of the agent.
    fn confining(unit: &str) -> Vec<&str> {
        let directives = unit.lines().filter(|line| !line.starts_with('#'));
        let names = directives.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
        names
            .filter(|name| CONFINING.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|name| !LEFT_BY_RUNNERS.contains(name))
            .collect()
    }

    fn unit(name: &str) -> String {
        fs::read_to_string(root().join("deploy/systemd").join(name)).unwrap()
    }

    #[test]
    fn unit_of_the_agent_confines_no_script() {
        assert_eq!(confining(&unit("graywave-agent.service")), Vec::<&str>::new());
        // The check finds the directives of a role, which starts no program.
        assert!(confining(&unit("graywave-api.service")).len() > 10);
    }

    #[test]
    fn agent_with_an_own_file_system_lets_runners_leave() {
        let text = unit("graywave-agent.service");
        assert!(text.contains("\nEnvironment=GRAYWAVE_AGENT_SCRIPT_MOUNTS=/proc/1/ns/mnt\n"));
        assert!(text.contains("\nKillMode=process\n") && text.contains("\nDelegate=yes\n"));
    }
}
