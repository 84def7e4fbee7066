//! The build context of the images: deploy/Dockerfile compiles from it, so it must have every
//! source file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::engine::Engine;
use crate::{process, root, sources};

/// Copies the whole context. Only the engine knows exactly what `.dockerignore` leaves out.
const EVERYTHING: &str = "FROM scratch\nCOPY . /\nCMD [\"-\"]\n";

/// Fails if the context lacks a source file of the programs, or a file that Cargo reads before it
/// compiles.
pub(super) fn check(engine: &Engine, programs: &[&str]) -> anyhow::Result<()> {
    let has = files(engine)?;
    let mut needs = manifests()?;
    for program in programs {
        let list = testkit::binary(program)?.with_extension("d");
        let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        needs.extend(listed(&text, &root()));
    }
    let missing: Vec<&str> = needs.difference(&has).map(String::as_str).collect();
    if !missing.is_empty() {
        bail!(".dockerignore leaves out what the images are built from: {}", missing.join(", "));
    }
    Ok(())
}

/// Paths of all files and directories of the context, relative to the workspace.
fn files(engine: &Engine) -> anyhow::Result<BTreeSet<String>> {
    let dockerfile = tempfile::NamedTempFile::new()?;
    fs::write(dockerfile.path(), EVERYTHING)?;
    let mut build = engine.docker(&["build", "--quiet", "--file"]);
    let image = process::output(build.arg(dockerfile.path()).arg(root()))?;
    let container = process::output(&mut engine.docker(&["create", image.trim()]))?;
    let archive = tempfile::NamedTempFile::new()?;
    let mut export = engine.docker(&["export", "--output"]);
    process::run(export.arg(archive.path()).arg(container.trim()))?;
    process::output(&mut engine.docker(&["rm", container.trim()]))?;
    process::output(&mut engine.docker(&["rmi", image.trim()]))?;
    let mut tar = std::process::Command::new("tar");
    let list = process::output(tar.args(["--list", "--file"]).arg(archive.path()))?;
    Ok(list.lines().map(|path| path.trim_end_matches('/').to_owned()).collect())
}

/// The files that Cargo reads before it compiles.
fn manifests() -> anyhow::Result<BTreeSet<String>> {
    let is_read = |path: &str| {
        matches!(path, "Cargo.lock" | "Cargo.toml" | ".cargo/config.toml") || path.ends_with("/Cargo.toml")
    };
    Ok(sources::files(is_read)?.into_iter().collect())
}

/// Source files and directories inside of `root` in a list that Cargo wrote in the format of make.
fn listed(list: &str, root: &Path) -> BTreeSet<String> {
    let inside = |path: &str| {
        let path = without_parents(Path::new(path));
        path.strip_prefix(root).ok().map(|path| path.to_string_lossy().into_owned())
    };
    let after_colon =
        list.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, paths)| paths.split(' '));
    after_colon.filter_map(inside).filter(|path| !path.starts_with("target/")).collect()
}

/// The same path without `..`, as build scripts of crates use it to reach the workspace.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_inside_of_the_workspace() {
        let list = "/w/target/debug/x: /w/crates/x/src/main.rs /w/docs/a.md /w/target/out/b.rs /home/u/.cargo/c.rs \
                    /w/crates/x/../../proto\n";
        let sources: Vec<String> = listed(list, Path::new("/w")).into_iter().collect();
        assert_eq!(sources, ["crates/x/src/main.rs", "docs/a.md", "proto"]);
    }
}
