//! The .rpm: its header, its scriptlets and its files, and an installation into an empty root.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, ensure};

use crate::{
    dist::{self, Format, Programs},
    images, process, say,
};

/// Builds and checks both packages.
pub(super) fn run(programs: &Programs, directory: &Path) -> anyhow::Result<()> {
    let made = dist::packages_for_tests(programs, images::version(), Format::Rpm, directory)?;
    for package in &made {
        check_header(package)?;
        check_scripts(package)?;
    }
    install(&made, directory)?;
    say("-- rpm: headers, scriptlets and files checked, installed into an empty root and removed");
    Ok(())
}

fn rpm(arguments: &[&str], package: &Path) -> anyhow::Result<String> {
    process::output(Command::new("rpm").args(arguments).arg(package).env("LC_ALL", "C"))
}

fn name_of(package: &Path) -> anyhow::Result<&'static str> {
    let name = package.file_name().context("a package without a name")?.to_string_lossy();
    Ok(if name.starts_with("graywave-agent-") { "graywave-agent" } else { "graywave" })
}

fn check_header(package: &Path) -> anyhow::Result<()> {
    // Digests of header and payload.
    rpm(&["--checksig", "--nosignature"], package)?;
    let format = "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE}";
    let header = rpm(&["--query", "--queryformat", format, "--package"], package)?;
    let expected =
        format!("{} {} 1 {} Apache-2.0", name_of(package)?, images::version(), std::env::consts::ARCH);
    ensure!(header == expected, "the header is {header}");
    let requires = rpm(&["--query", "--requires", "--package"], package)?;
    ensure!(requires.contains("libc.so.6(GLIBC_2."), "no version of glibc is required: {requires}");
    let settings = rpm(&["--query", "--configfiles", "--package"], package)?;
    ensure!(settings.lines().any(|line| line.starts_with("/etc/graywave/")), "no settings: {settings}");
    Ok(())
}

/// Each scriptlet is valid for a POSIX shell, and an upgrade stops nothing.
fn check_scripts(package: &Path) -> anyhow::Result<()> {
    let scripts = rpm(&["--query", "--scripts", "--package"], package)?;
    for name in ["postinstall", "preuninstall", "postuninstall"] {
        ensure!(scripts.contains(&format!("{name} scriptlet (using /bin/sh)")), "no {name}: {scripts}");
    }
    let source = crate::root().join("deploy/packages").join(name_of(package)?).join("rpm");
    for script in fs::read_dir(source)? {
        process::run(Command::new("sh").arg("-n").arg(script?.path()))?;
    }
    Ok(())
}

/// Installs both packages into an empty root, without their scriptlets, which the root cannot run.
fn install(packages: &[std::path::PathBuf], directory: &Path) -> anyhow::Result<()> {
    let root = directory.join("rpm");
    let at = |arguments: &[&str]| {
        let mut command = Command::new("rpm");
        command.arg(format!("--root={}", root.display())).args(arguments).env("LC_ALL", "C");
        command
    };
    fs::create_dir(&root)?;
    process::output(at(&["--install", "--nodeps", "--noscripts", "--noplugins"]).args(packages))?;
    for (path, mode) in [
        ("usr/bin/graywave-agent", 0o755),
        ("usr/bin/graywave-runner", 0o755),
        ("usr/bin/graywave", 0o755),
        ("etc/graywave/agent.env", 0o600),
        ("etc/graywave/graywave.toml", 0o640),
        ("usr/lib/systemd/system/graywave-agent.service", 0o644),
        ("usr/lib/systemd/system/graywave-scheduler.service", 0o644),
        ("usr/lib/sysusers.d/graywave.conf", 0o644),
        ("usr/share/man/man1/graywave-run.1.gz", 0o644),
        ("usr/share/zsh/site-functions/_graywave", 0o644),
    ] {
        let metadata = fs::metadata(root.join(path)).with_context(|| format!("{path} is missing"))?;
        let found = metadata.permissions().mode() & 0o7777;
        ensure!(found == mode, "{path} has the mode {found:o}, not {mode:o}");
    }
    fs::write(root.join("etc/graywave/agent.env"), "# changed\n")?;
    process::output(&mut at(&["--erase", "--noscripts", "--nodeps", "graywave-agent", "graywave"]))?;
    ensure!(!root.join("usr/bin/graywave").exists(), "the removal has left a program");
    ensure!(root.join("etc/graywave/agent.env.rpmsave").exists(), "changed settings are not kept");
    Ok(())
}
