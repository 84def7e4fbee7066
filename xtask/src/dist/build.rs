//! The programs of a release, with the files that they generate.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::Release;
use crate::{cluster, process, root, say};

/// Profile whose programs every test step has already built.
pub(super) const DEV: &str = "dev";
/// Programs of a release.
pub(super) const PROGRAMS: [&str; 3] = ["graywave", "graywave-agent", "graywave-runner"];

/// Directory with stripped programs, and below it `man`, `completions` and the bills of materials.
#[derive(Debug)]
pub(crate) struct Programs(TempDir);

impl Programs {
    pub(super) fn directory(&self) -> &Path {
        self.0.path()
    }
}

/// Builds the programs, or takes those of [`process::build`] for the profile `dev`.
pub(super) fn programs(release: &Release) -> anyhow::Result<Programs> {
    let programs = Programs(tempfile::tempdir_in(crate::images::engine::fast_directory())?);
    for program in PROGRAMS {
        let built =
            if release.is_quick() { testkit::binary(program)? } else { compile(release)?.join(program) };
        let mut strip = Command::new("strip");
        process::run(strip.arg("-o").arg(programs.directory().join(program)).arg(built))?;
    }
    generate(programs.directory())?;
    Ok(programs)
}

/// Compiles the programs so that no path of this machine is in them. Returns their directory.
fn compile(release: &Release) -> anyhow::Result<PathBuf> {
    // Its own directory: other flags would compile everything again, and cargo's own directory of
    // the profile would be the one of the release.
    let target = cluster::target_directory().join("dist-build");
    let arguments = ["build", "--locked", "--profile", &release.profile, "--bins"];
    let mut cargo = process::cargo(&arguments);
    for program in PROGRAMS {
        cargo.args(["--package", program]);
    }
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cargo"))
    });
    let cargo_home = cargo_home.context("neither CARGO_HOME nor HOME is set")?;
    let remapped = [(root(), "/graywave"), (cargo_home, "/cargo"), (target.clone(), "/target")];
    let flags: Vec<String> =
        remapped.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect();
    cargo.arg("--target-dir").arg(&target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env("CARGO_INCREMENTAL", "0");
    cargo.env("SOURCE_DATE_EPOCH", release.epoch_s.to_string());
    process::run(&mut cargo)?;
    let profile = if release.profile == "release" { "release" } else { &release.profile };
    Ok(target.join(profile))
}

/// Lets the programs write their manual pages and shell completions.
fn generate(directory: &Path) -> anyhow::Result<()> {
    say("-- manual pages and completions");
    let command = |program: &str| {
        let mut command = Command::new(directory.join(program));
        // Help texts show values of variables.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        command
    };
    for program in ["graywave", "graywave-agent"] {
        let man = directory.join("man").join(program);
        process::run(command(program).arg("man").arg("--dir").arg(&man))?;
        // Without its name and time, so that the same page is the same file.
        for page in fs::read_dir(&man)? {
            process::run(Command::new("gzip").args(["-9", "-n"]).arg(page?.path()))?;
        }
        let completions = directory.join("completions").join(program);
        fs::create_dir_all(&completions)?;
        for shell in ["bash", "zsh", "fish"] {
            let text = process::output(command(program).args(["completion", shell]))?;
            fs::write(completions.join(shell), text)?;
        }
    }
    Ok(())
}
