//! Packages in a system that systemd runs.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::ensure;

use super::{
    Versions,
    cluster::{Cluster, wait_for},
    control_plane,
    machine::Machine,
};
use crate::{process, say};

const DESKTOP: &str = "deb-systemd";
const UNIT: &str = "graywave-agent.service";

/// Runs the tests if this machine can boot the system in a container. Otherwise it prints NOT
/// TESTED: a container of CI may not permit that.
pub(super) fn run_if_possible(
    cluster: &Cluster,
    versions: &Versions,
    directory: &Path,
) -> anyhow::Result<()> {
    match Machine::booted(directory)? {
        Ok(machine) => run(cluster, versions, &machine),
        Err(reason) => {
            say(&format!("==\n== NOT TESTED: the packages under systemd: {reason}\n=="));
            Ok(())
        }
    }
}

fn run(cluster: &Cluster, versions: &Versions, machine: &Machine) -> anyhow::Result<()> {
    install(cluster, machine, versions)?;
    say("-- systemd: the agent installed, configured and attached");
    confine(cluster, machine)?;
    say("-- systemd: the agent is confined, and its scripts are not");
    upgrade_when_busy(cluster, machine, versions)?;
    say("-- systemd: upgraded in mid-run, the agent restarted when its script had ended");
    upgrade_by_script(cluster, machine, versions)?;
    say("-- systemd: upgraded by a script of the agent itself");
    respect_policy(cluster, machine, versions)?;
    say("-- systemd: policy-rc.d keeps the agent from a restart");
    remove_in_mid_run(cluster, machine)?;
    say("-- systemd: removed in mid-run, the script went on; purged without a trace");
    control_plane::in_booted(machine, versions)?;
    say("-- systemd: all roles of the control plane served, kept their version, and were purged");
    Ok(())
}

fn install(cluster: &Cluster, machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let package = machine.take(&versions.deb("graywave-agent", &versions.present)?)?;
    machine.dpkg(&["--install", &package])?;
    let state = machine.shell(&format!("systemctl is-enabled {UNIT}; systemctl is-active {UNIT} || true"))?;
    // Without settings it is neither started nor failed.
    ensure!(state == "enabled\ninactive\n", "the agent without settings is {state:?}");
    fs::write(machine.path("/etc/graywave/agent.env"), cluster.settings(DESKTOP)?)?;
    // Returns when the agent has reported that it is ready.
    machine.shell(&format!("systemctl restart {UNIT}"))?;
    cluster.wait_for_desktop(DESKTOP, true)?;
    wait_for("the status of the unit", || {
        Ok(property(machine, "StatusText")?.starts_with("attached to the worker http://"))
    })
}

/// The agent sees a file system that it cannot change, and its scripts see that of the machine.
fn confine(cluster: &Cluster, machine: &Machine) -> anyhow::Result<()> {
    // The container of this test filters system calls itself.
    let status = "grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc";
    let script = format!(
        "touch /usr/by-script /etc/by-script /tmp/by-script /root/by-script\n\
         {status}/self/status; readlink /proc/self/ns/mnt; umask"
    );
    let output = cluster.run(DESKTOP, &script)?;
    let of_machine = machine.shell(&format!("{status}/1/status; readlink /proc/1/ns/mnt"))?;
    ensure!(output == format!("{of_machine}0022\n"), "the script is confined: {output}");
    for path in ["/usr/by-script", "/etc/by-script", "/root/by-script"] {
        ensure!(machine.has(path), "{path} of the script is not in the system");
    }
    let inside = |text: &str| -> anyhow::Result<bool> {
        let mount = format!("--target={}", main_pid(machine)?);
        let mut command = machine.command(&["nsenter", &mount, "--mount", "sh", "-c", text]);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    };
    ensure!(inside("touch /var/lib/graywave-agent/by-agent")?, "the agent cannot write its data");
    for path in ["/usr/by-agent", "/etc/by-agent", "/root/by-agent"] {
        ensure!(!inside(&format!("touch {path}"))?, "the agent can write {path}");
    }
    ensure!(!inside("test -e /tmp/by-script")?, "the agent sees /tmp of the system");
    Ok(())
}

fn upgrade_when_busy(cluster: &Cluster, machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let waiting = cluster.start_waiting(machine, DESKTOP)?;
    let before = main_pid(machine)?;
    let later = machine.take(&versions.deb("graywave-agent", &versions.later)?)?;
    let printed = machine.dpkg(&["--install", &later])?;
    ensure!(printed.contains("the agent restarts after them"), "another output: {printed}");
    ensure!(main_pid(machine)? == before, "the upgrade has restarted a busy agent");
    let status = property(machine, "StatusText")?;
    ensure!(status.contains("restart waits"), "the status does not name the restart: {status}");
    cluster.finish(machine, &waiting)?;
    wait_for_restart(cluster, machine, &before)?;
    ensure!(cluster.run(DESKTOP, "echo again")? == "again\n", "the new agent runs no script");
    Ok(())
}

/// The upgrade of a fleet: a script calls the package manager of its own agent.
fn upgrade_by_script(cluster: &Cluster, machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let before = main_pid(machine)?;
    let package = machine.take(&versions.deb("graywave-agent", &versions.present)?)?;
    let output = cluster.run(DESKTOP, &format!("dpkg --force-downgrade --install {package}"))?;
    ensure!(output.contains("the agent restarts after them"), "another output: {output}");
    wait_for_restart(cluster, machine, &before)
}

fn respect_policy(cluster: &Cluster, machine: &Machine, versions: &Versions) -> anyhow::Result<()> {
    let before = main_pid(machine)?;
    machine
        .shell("printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")?;
    let later = machine.take(&versions.deb("graywave-agent", &versions.later)?)?;
    let printed = machine.dpkg(&["--install", &later])?;
    machine.shell("rm /usr/sbin/policy-rc.d")?;
    ensure!(printed.contains("policy-rc.d forbids"), "another output: {printed}");
    ensure!(main_pid(machine)? == before, "the policy was not respected");
    // Nothing runs, so the restart is at once.
    let printed = machine.shell("graywave-agent restart --data-dir /var/lib/graywave-agent")?;
    ensure!(printed == "the agent restarts\n", "another output: {printed}");
    wait_for_restart(cluster, machine, &before)
}

fn remove_in_mid_run(cluster: &Cluster, machine: &Machine) -> anyhow::Result<()> {
    let _waiting = cluster.start_waiting(machine, DESKTOP)?;
    machine.dpkg(&["--remove", "graywave-agent"])?;
    cluster.wait_for_desktop(DESKTOP, false)?;
    ensure!(machine.count("graywave-runner")? == 1, "the removal has ended the script");
    fs::write(machine.path("/root/go"), "")?;
    wait_for("the end of the runner", || Ok(machine.count("graywave-runner")? == 0))?;
    ensure!(machine.has("/var/lib/graywave-agent/journal.log"), "the removal has deleted the data");
    machine.dpkg(&["--purge", "graywave-agent"])?;
    for path in ["/var/lib/graywave-agent", "/etc/graywave"] {
        ensure!(!machine.has(path), "{path} is left after the purge");
    }
    let failed = machine.shell("systemctl list-units --all --plain --no-legend 'graywave*'")?;
    ensure!(failed.is_empty(), "a unit is left after the purge: {failed}");
    Ok(())
}

fn wait_for_restart(cluster: &Cluster, machine: &Machine, before: &str) -> anyhow::Result<()> {
    wait_for("the restarted agent", || {
        let pid = property(machine, "MainPID")?;
        Ok(pid != "0" && pid != before)
    })?;
    cluster.wait_for_desktop(DESKTOP, true)
}

fn main_pid(machine: &Machine) -> anyhow::Result<String> {
    let pid = property(machine, "MainPID")?;
    ensure!(pid != "0", "the agent does not run");
    Ok(pid)
}

fn property(machine: &Machine, name: &str) -> anyhow::Result<String> {
    let mut show: Command =
        machine.command(&["systemctl", "show", "--value", &format!("--property={name}"), UNIT]);
    Ok(process::output(&mut show)?.trim().to_owned())
}
