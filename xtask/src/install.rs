//! Installs tools that a machine with only Rust and Debian lacks. Services of packages are not
//! started.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::bail;

use crate::say;

/// Installs Postgres for private clusters, unless it is installed. Called before a build, so that a
/// machine on which that is impossible fails at once.
pub(crate) fn postgres() -> anyhow::Result<()> {
    let wanted = pgcluster::Wanted::default();
    Ok(pgcluster::provide_binaries(&wanted, &mut |line| say(&format!("== {line}"))).map(drop)?)
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

/// Installs Chromium, for the tests of the web console.
pub(crate) fn chromium() -> anyhow::Result<()> {
    if Path::new("/usr/bin/chromium").is_file() { Ok(()) } else { apt("Chromium", &["chromium"]) }
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

/// Installs promtool, which validates rules.
pub(crate) fn promtool() -> anyhow::Result<()> {
    if answers("promtool", &["--version"]) {
        return Ok(());
    }
    apt("promtool", &["prometheus"])
}

/// Installs the programs of the tests of an installation: an SSH server, wget, and shellcheck.
pub(crate) fn installation() -> anyhow::Result<()> {
    let has_server = Path::new("/usr/sbin/sshd").exists() && answers("ssh", &["-V"]);
    if has_server && ["wget", "shellcheck"].iter().all(|program| answers(program, &["--version"])) {
        return Ok(());
    }
    apt("the SSH server, wget and shellcheck", &["openssh-server", "openssh-client", "wget", "shellcheck"])
}

/// Whether a program exists and exits successfully with these arguments.
pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Installs Patroni, its etcd client, and etcd for the failovers.
pub(crate) fn patroni() -> anyhow::Result<()> {
    let is_there = answers("patroni", &["--version"])
        && answers("/usr/bin/python3", &["-c", "import patroni, etcd"])
        && answers("etcd", &["--version"]);
    if is_there {
        return Ok(());
    }
    apt("Patroni with etcd", &["patroni", "python3-etcd", "etcd-server"])
}

/// Installs a Docker engine with compose.
pub(crate) fn docker() -> anyhow::Result<()> {
    if ["dockerd", "docker", "docker-compose"].iter().all(|program| answers(program, &["--version"])) {
        return Ok(());
    }
    apt("Docker", &["docker.io", "docker-compose", "iptables"])
}

/// Installs debootstrap, which creates a Debian system in a directory.
pub(crate) fn debootstrap() -> anyhow::Result<()> {
    let is_there = Path::new("/usr/sbin/debootstrap").exists();
    if is_there { Ok(()) } else { apt("debootstrap", &["debootstrap"]) }
}

/// Installs the programs that build packages.
pub(crate) fn package_tools() -> anyhow::Result<()> {
    if ["dpkg-deb", "strip", "objdump"].iter().all(|program| answers(program, &["--version"])) {
        return Ok(());
    }
    apt("package tools", &["binutils", "dpkg"])
}

/// Installs the programs that test packages: rpm, and systemd with its containers.
pub(crate) fn package_tests() -> anyhow::Result<()> {
    let programs = ["rpm", "systemd-nspawn", "systemd-analyze"];
    if programs.iter().all(|program| answers(program, &["--version"])) {
        return Ok(());
    }
    apt("rpm and systemd", &["rpm", "systemd", "systemd-container"])
}

/// Installs Debian packages as root; otherwise says how.
pub(crate) fn apt(name: &str, packages: &[&str]) -> anyhow::Result<()> {
    if !pgcluster::apt::can_install() {
        bail!(
            "{name} is not installed: run `apt-get install {}` as root, then run this command again",
            packages.join(" ")
        );
    }
    say(&format!("== installing {name}"));
    Ok(pgcluster::apt::install(packages)?)
}
