//! Packages in a system without an init: a container, or an image that is built.

use std::{fs, path::Path};

use anyhow::ensure;

use super::{Versions, cluster::Cluster, control_plane, machine::Machine};
use crate::say;

const DESKTOP: &str = "deb-plain";
const DATA: &str = "/var/lib/graywave-agent";
/// Command that runs the agent as a container does, with the settings of the package.
const START: &str = "set -a; . /etc/graywave/agent.env; \
                     exec graywave-agent --data-dir /var/lib/graywave-agent >>/root/agent.log 2>&1";

/// Installs, upgrades in mid-run, removes and purges the agent, then the control plane.
pub(super) fn run(cluster: &Cluster, versions: &Versions, directory: &Path) -> anyhow::Result<()> {
    let machine = Machine::plain(directory)?;
    install(&machine, versions)?;
    say("-- no systemd: the agent installed, its files checked");
    upgrade(cluster, &machine, versions)?;
    say("-- no systemd: upgraded in mid-run, the script went on and its result arrived");
    remove_and_purge(cluster, &machine)?;
    say("-- no systemd: removed with its data kept, purged without a trace");
    control_plane::in_plain(&machine, versions)?;
    say("-- no systemd: the control plane installed, checked and purged");
    Ok(())
}

fn install(machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let package = machine.take(&versions.deb("graywave-agent", &versions.present)?)?;
    let printed = machine.dpkg(&["--install", &package])?;
    ensure!(printed.contains("set GRAYWAVE_AGENT_WORKER"), "no hint at the settings: {printed}");
    machine.check_file("/etc/graywave/agent.env", 0o600)?;
    machine.check_file("/usr/bin/graywave-agent", 0o755)?;
    machine.check_file("/usr/bin/graywave-runner", 0o755)?;
    machine.check_file("/usr/lib/systemd/system/graywave-agent.service", 0o644)?;
    machine.check_file("/usr/lib/tmpfiles.d/graywave-agent.conf", 0o644)?;
    machine.check_file("/usr/share/man/man1/graywave-agent.1.gz", 0o644)?;
    for completion in [
        "bash-completion/completions/graywave-agent",
        "zsh/vendor-completions/_graywave-agent",
        "fish/vendor_completions.d/graywave-agent.fish",
    ] {
        machine.check_file(&format!("/usr/share/{completion}"), 0o644)?;
    }
    machine.check_file(DATA, 0o700)?;
    ensure!(machine.has("/etc/systemd/system/multi-user.target.wants/graywave-agent.service"), "not enabled");
    // Silent if every file is as packaged.
    let differences = machine.dpkg(&["--verify", "graywave-agent"])?;
    ensure!(differences.is_empty(), "installed files differ: {differences}");
    let conffiles = machine.shell("dpkg-query --show --showformat='${Conffiles}' graywave-agent")?;
    ensure!(conffiles.contains("/etc/graywave/agent.env"), "no conffile: {conffiles}");
    let version = machine.shell("graywave-agent --version")?;
    ensure!(version == format!("graywave-agent {}\n", versions.present), "another version: {version}");
    Ok(())
}

fn upgrade(cluster: &Cluster, machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let settings = cluster.settings(DESKTOP)?;
    fs::write(machine.path("/etc/graywave/agent.env"), &settings)?;
    let mut first = machine.command(&["sh", "-c", START]).spawn()?;
    cluster.wait_for_desktop(DESKTOP, true)?;
    let output = cluster.run(DESKTOP, "echo hello from $(id -un)")?;
    ensure!(output == "hello from root\n", "the script has another output: {output:?}");

    let waiting = cluster.start_waiting(machine, DESKTOP)?;
    let later = machine.take(&versions.deb("graywave-agent", &versions.later)?)?;
    let printed = machine.dpkg(&["--install", &later])?;
    ensure!(printed.contains("a running agent keeps its version"), "no hint at the agent: {printed}");
    ensure!(first.try_wait()?.is_none(), "the upgrade has ended the agent");
    let kept = fs::read_to_string(machine.path("/etc/graywave/agent.env"))?;
    ensure!(kept == settings, "the upgrade has changed the settings: {kept}");
    machine.shell("graywave-agent stop --data-dir /var/lib/graywave-agent")?;
    ensure!(first.wait()?.success(), "the agent has not stopped cleanly");
    let _second = machine.command(&["sh", "-c", START]).spawn()?;
    cluster.finish(machine, &waiting)
}

fn remove_and_purge(cluster: &Cluster, machine: &Machine) -> anyhow::Result<()> {
    machine.dpkg(&["--remove", "graywave-agent"])?;
    cluster.wait_for_desktop(DESKTOP, false)?;
    ensure!(!machine.has("/usr/bin/graywave-agent"), "the program is still installed");
    ensure!(machine.has(&format!("{DATA}/journal.log")), "no data is left");
    ensure!(machine.has("/etc/graywave/agent.env"), "no settings are left");
    machine.dpkg(&["--purge", "graywave-agent"])?;
    for path in [DATA, "/etc/graywave", "/etc/needrestart/conf.d/graywave-agent.conf"] {
        ensure!(!machine.has(path), "{path} is left after the purge");
    }
    let links = machine.shell("find /etc/systemd /var/lib/systemd -name 'graywave*' 2>/dev/null || true")?;
    ensure!(links.is_empty(), "links are left after the purge: {links}");
    Ok(())
}
