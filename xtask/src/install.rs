//! Installs tools that a machine with only Rust and Debian lacks.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::bail;

use crate::{process, say};

/// Installs Postgres for the private clusters of the tests.
pub(crate) fn postgres() -> anyhow::Result<()> {
    if pgcluster::find_binaries().is_ok() {
        return Ok(());
    }
    apt("Postgres", &["postgresql"])
}

/// Installs Python with virtual environments, for the tests with the official SDK.
pub(crate) fn python() -> anyhow::Result<()> {
    if answers("python3", &["-c", "import venv, ensurepip"]) {
        return Ok(());
    }
    apt("Python", &["python3", "python3-venv"])
}

/// Installs Node.js with npm, for the tests with the official SDK for Node.js.
pub(crate) fn node() -> anyhow::Result<()> {
    if ["node", "npm"].iter().all(|program| answers(program, &["--version"])) {
        return Ok(());
    }
    apt("Node.js", &["nodejs", "npm"])
}

/// Installs libfaketime, which sets the clock of one process for the clock faults.
pub(crate) fn faketime() -> anyhow::Result<()> {
    if has_library("faketime/libfaketime.so.1") { Ok(()) } else { apt("libfaketime", &["libfaketime"]) }
}

/// Whether a library directory of any Debian architecture contains a file.
fn has_library(name: &str) -> bool {
    let Ok(architectures) = fs::read_dir("/usr/lib") else { return false };
    architectures.flatten().any(|entry| entry.path().join(name).is_file())
}

/// Installs promtool, which validates rules. The Prometheus service of the package is not started.
pub(crate) fn promtool() -> anyhow::Result<()> {
    if answers("promtool", &["--version"]) {
        return Ok(());
    }
    without_services(|| apt("promtool", &["prometheus"]))
}

/// Whether a program exists and exits successfully with these arguments.
pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Installs Patroni, its etcd client, and etcd for the failovers. Their services are not started.
pub(crate) fn patroni() -> anyhow::Result<()> {
    let is_there = answers("patroni", &["--version"])
        && answers("/usr/bin/python3", &["-c", "import patroni, etcd"])
        && answers("etcd", &["--version"]);
    if is_there {
        return Ok(());
    }
    without_services(|| apt("Patroni with etcd", &["patroni", "python3-etcd", "etcd-server"]))
}

/// Installs a Docker engine with compose. The service is not started.
pub(crate) fn docker() -> anyhow::Result<()> {
    if ["dockerd", "docker", "docker-compose"].iter().all(|program| answers(program, &["--version"])) {
        return Ok(());
    }
    without_services(|| apt("Docker", &["docker.io", "docker-compose", "iptables"]))
}

/// Installs debootstrap, which creates a Debian system in a directory.
pub(crate) fn debootstrap() -> anyhow::Result<()> {
    let is_there = Path::new("/usr/sbin/debootstrap").exists();
    if is_there { Ok(()) } else { apt("debootstrap", &["debootstrap"]) }
}

/// Runs an installation without starting services. Debian starts installed services unless
/// `policy-rc.d` forbids it; an existing policy is kept.
fn without_services(install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let is_ours = rustix::process::geteuid().is_root() && !policy.exists();
    if is_ours {
        fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
    }
    let installed = install();
    if is_ours {
        fs::remove_file(policy)?;
    }
    installed
}

fn apt(what: &str, packages: &[&str]) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "{what} is not installed: run `apt-get install {}` as root, then run this command again",
            packages.join(" ")
        );
    }
    say(&format!("== installing {what}"));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        process::run(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}
