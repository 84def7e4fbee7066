//! Debian's packages, for a machine that lacks a program.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// Script that Debian asks before it starts the service of a package.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Reports whether this process may install packages with apt-get: root, on Debian.
pub fn can_install() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// Installs packages without starting their services. The output goes to standard error.
///
/// # Errors
///
/// When apt-get fails, for example without a network.
pub fn install(packages: &[&str]) -> Result<(), Error> {
    without_services(|| {
        apt_get(&["update"])?;
        apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
    })
}

fn apt_get(arguments: &[&str]) -> Result<(), Error> {
    let program = "apt-get";
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().map_err(Error::io(program))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Program { program: program.to_owned(), output: format!("{} {status}", arguments.join(" ")) })
}

/// Runs an installation without starting services. Debian starts installed services unless
/// `policy-rc.d` forbids it; an existing policy is kept.
fn without_services(install: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let policy = Path::new(SERVICE_POLICY);
    let is_ours = !policy.exists();
    if is_ours {
        fs::write(policy, "#!/bin/sh\nexit 101\n").map_err(Error::io(policy))?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).map_err(Error::io(policy))?;
    }
    let installed = install();
    if is_ours {
        fs::remove_file(policy).map_err(Error::io(policy))?;
    }
    installed
}
