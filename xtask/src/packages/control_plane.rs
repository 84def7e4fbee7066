//! The package of the control plane and the command line.

use std::{fs, net::TcpListener, os::unix::fs::MetadataExt as _};

use anyhow::ensure;

use super::{Versions, cluster::wait_for, machine::Machine};
use crate::database;

const SETTINGS: &str = "/etc/graywave/graywave.toml";
const ROLES: [&str; 3] = ["api", "scheduler", "worker"];

/// Installs, checks and purges the package without systemd.
pub(super) fn in_plain(machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    install(machine, versions)?;
    machine.dpkg(&["--purge", "graywave"])?;
    ensure!(!machine.has("/etc/graywave"), "settings are left after the purge");
    ensure!(!has_user(machine)?, "the user is left after the purge");
    Ok(())
}

/// Runs all roles under systemd on a database of their own, upgrades, removes and purges them.
pub(super) fn in_booted(machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    install(machine, versions)?;
    let database = database::Scratch::start()?;
    configure(machine, &database.url())?;
    machine.shell("graywave migrate --config /etc/graywave/graywave.toml")?;
    for role in ROLES {
        let state = machine.shell(&format!("systemctl is-enabled graywave-{role} || true"))?;
        ensure!(state == "disabled\n", "graywave-{role} is {}", state.trim());
        // Returns when the role has reported that it serves.
        machine.shell(&format!("systemctl enable --now graywave-{role}"))?;
        wait_for(&format!("a healthy {role}"), || {
            let check = format!("set -a; . /etc/graywave/{role}.env; graywave healthcheck {role}");
            Ok(machine.command(&["sh", "-ec", &check]).output()?.status.success())
        })?;
        let user = machine.shell(&format!("stat --format=%U /proc/{}", main_pid(machine, role)?))?;
        ensure!(user.trim() == "graywave", "graywave-{role} runs as {user}");
    }
    upgrade(machine, versions)?;
    machine.dpkg(&["--remove", "graywave"])?;
    ensure!(machine.has(SETTINGS) && has_user(machine)?, "the removal has deleted settings or the user");
    ensure!(machine.count("graywave")? == 0, "a role is left after the removal");
    machine.shell("rm /etc/graywave/*.env")?;
    machine.dpkg(&["--purge", "graywave"])?;
    ensure!(!has_user(machine)?, "the user is left after the purge");
    ensure!(!machine.has("/etc/graywave"), "settings are left after the purge");
    ensure!(
        !machine.has("/etc/systemd/system/multi-user.target.wants/graywave-api.service"),
        "a link is left"
    );
    Ok(())
}

/// Roles keep their version over an upgrade: the schema comes first, and an administrator restarts
/// them.
fn upgrade(machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let before: Vec<String> = ROLES.iter().map(|role| main_pid(machine, role)).collect::<Result<_, _>>()?;
    let later = machine.take(&versions.deb("graywave", &versions.later)?)?;
    let printed = machine.dpkg(&["--install", &later])?;
    ensure!(printed.contains("graywave migrate"), "no hint at the migration: {printed}");
    let after: Vec<String> = ROLES.iter().map(|role| main_pid(machine, role)).collect::<Result<_, _>>()?;
    ensure!(before == after, "the upgrade has restarted a role: {before:?}, {after:?}");
    Ok(())
}

/// Installs the present version and checks what a user sees of it.
fn install(machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let package = machine.take(&versions.deb("graywave", &versions.present)?)?;
    machine.dpkg(&["--install", &package])?;
    let version = machine.shell("graywave --version")?;
    ensure!(version == format!("graywave {}\n", versions.present), "another version: {version}");
    machine.check_file("/usr/bin/graywave", 0o755)?;
    for page in ["graywave.1.gz", "graywave-run.1.gz", "graywave-scheduler.1.gz"] {
        machine.check_file(&format!("/usr/share/man/man1/{page}"), 0o644)?;
    }
    for completion in [
        "bash-completion/completions/graywave",
        "zsh/vendor-completions/_graywave",
        "fish/vendor_completions.d/graywave.fish",
    ] {
        machine.check_file(&format!("/usr/share/{completion}"), 0o644)?;
    }
    let text = fs::read_to_string(machine.path("/usr/share/zsh/vendor-completions/_graywave"))?;
    ensure!(text.starts_with("#compdef graywave"), "zsh does not load the completion: {text}");
    machine.check_file(SETTINGS, 0o640)?;
    ensure!(has_user(machine)?, "the package has not created its user");
    let group = machine.shell("getent group graywave")?;
    let id = fs::metadata(machine.path(SETTINGS))?.gid();
    ensure!(group.trim_end().ends_with(&format!(":{id}:")), "{SETTINGS} is of group {id}: {group}");
    let differences = machine.dpkg(&["--verify", "graywave"])?;
    ensure!(differences.is_empty(), "installed files differ: {differences}");
    machine
        .shell("graywave check-config --config /etc/graywave/graywave.toml >/dev/null 2>&1 || true")
        .map(drop)
}

/// Writes settings with free ports: the system shares the network of this machine.
fn configure(machine: &Machine, database: &str) -> anyhow::Result<()> {
    let listeners: Vec<TcpListener> =
        (0..6).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let addresses: Vec<String> =
        listeners.iter().map(|it| Ok(it.local_addr()?.to_string())).collect::<std::io::Result<_>>()?;
    drop(listeners);
    let settings = format!(
        "[database]\nurl = \"{database}\"\n[api]\nlisten = \"{}\"\n[scheduler]\nlisten = \"{}\"\n\
         [worker]\nlisten = \"{}\"\nscheduler_urls = [\"http://{}\"]\n",
        addresses[0], addresses[1], addresses[2], addresses[1]
    );
    // The group and the permissions of the installed file stay.
    fs::write(machine.path(SETTINGS), settings)?;
    for (role, address) in ROLES.iter().zip(&addresses[3..]) {
        let path = machine.path(&format!("/etc/graywave/{role}.env"));
        fs::write(path, format!("GRAYWAVE__TELEMETRY__LISTEN={address}\n"))?;
    }
    Ok(())
}

fn main_pid(machine: &Machine, role: &str) -> anyhow::Result<String> {
    let pid = machine.shell(&format!("systemctl show --property=MainPID --value graywave-{role}"))?;
    ensure!(pid.trim() != "0", "graywave-{role} does not run");
    Ok(pid.trim().to_owned())
}

fn has_user(machine: &Machine) -> anyhow::Result<bool> {
    Ok(machine.shell("getent passwd graywave || true")?.contains("/usr/sbin/nologin"))
}
