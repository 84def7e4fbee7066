//! What a machine with only Rust and Debian lacks, installed.

use std::process::{Command, Stdio};

use anyhow::bail;

use crate::{process, say};

/// Postgres, for the private clusters of the tests.
pub(crate) fn postgres() -> anyhow::Result<()> {
    if pgcluster::find_binaries().is_ok() {
        return Ok(());
    }
    apt("Postgres", &["postgresql"])
}

/// Python with its virtual environments, for the tests by the official SDK.
pub(crate) fn python() -> anyhow::Result<()> {
    let is_there = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if is_there {
        return Ok(());
    }
    apt("Python", &["python3", "python3-venv"])
}

fn apt(what: &str, packages: &[&str]) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "{what} is not installed: run `apt-get install {}` as root, then this again",
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
