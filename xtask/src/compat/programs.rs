//! Programs of a version: from a directory, or built from a revision.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::{cluster::target_directory, process, root, say};

/// Programs that a cluster needs.
const NAMES: [&str; 3] = ["graywave", "graywave-agent", "graywave-runner"];

/// Directory with the programs of one version.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Programs in a directory, or of a revision if there is no such directory.
    pub(super) fn of(name: &str) -> anyhow::Result<Self> {
        if Path::new(name).is_dir() { Self::in_directory(name.into()) } else { Self::build(name) }
    }

    /// Programs in a directory.
    pub(super) fn in_directory(directory: PathBuf) -> anyhow::Result<Self> {
        let directory = std::path::absolute(directory)?;
        for name in NAMES {
            ensure!(directory.join(name).is_file(), "{} has no program {name}", directory.display());
        }
        Ok(Self { directory })
    }

    /// Programs of this working tree, which it builds.
    pub(super) fn of_today() -> anyhow::Result<Self> {
        process::build()?;
        let graywave = testkit::binary("graywave")?;
        Self::in_directory(graywave.parent().context("graywave has no directory")?.to_owned())
    }

    /// Builds the programs of a revision, in a working tree below the target directory.
    fn build(revision: &str) -> anyhow::Result<Self> {
        let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
            .with_context(|| format!("{revision:?} is no directory and no revision"))?;
        let commit = commit.trim();
        let place = target_directory().join("compat");
        let tree = place.join(commit);
        if !tree.is_dir() {
            let path = tree.to_str().context("the target directory is not UTF-8")?;
            git(&["worktree", "add", "--detach", "--force", path, commit])?;
        }
        say(&format!("-- building the programs of {revision} ({commit})"));
        let mut build = process::cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"]);
        let target = place.join("target");
        process::run(build.current_dir(&tree).env("CARGO_TARGET_DIR", &target).env("SQLX_OFFLINE", "true"))?;
        Self::in_directory(target.join("debug"))
    }

    /// Command of one of the programs.
    pub(super) fn command(&self, name: &str) -> Command {
        Command::new(self.directory.join(name))
    }

    /// Version that the programs print.
    pub(super) fn version(&self) -> anyhow::Result<String> {
        let text = process::output(self.command("graywave").arg("--version"))?;
        Ok(format!("{} ({})", text.trim(), self.directory.display()))
    }
}

/// Last tag of a release before this state; `None` without one.
pub(super) fn last_tag() -> anyhow::Result<Option<String>> {
    if !root().join(".git").exists() {
        return Ok(None);
    }
    let tags = git(&["tag", "--list", "v*", "--sort=-version:refname", "--merged", "HEAD"])?;
    let head = git(&["tag", "--points-at", "HEAD"])?;
    let earlier = tags.lines().find(|tag| !head.lines().any(|of_head| of_head == *tag));
    Ok(earlier.map(str::to_owned))
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").arg("-C").arg(root()).args(arguments).output()?;
    if !output.status.success() {
        bail!("git {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
