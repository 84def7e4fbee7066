//! Locked packages of npm, installed below the target directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{cluster, process, say};

const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Installs the locked packages of a directory of tests, again after each change of a manifest;
/// returns `node_modules`.
pub(crate) fn modules(tests: &Path) -> anyhow::Result<PathBuf> {
    let name = tests.file_name().context("a directory of tests has a name")?;
    let directory = cluster::target_directory().join("npm").join(name);
    let modules = directory.join("node_modules");
    // Written last, so that an interrupted installation starts over.
    let stamp = directory.join("installed");
    let manifests =
        MANIFESTS.map(|name| fs::read(tests.join(name)).with_context(|| format!("cannot read {name}")));
    let [package, lock] = manifests;
    let manifests = [package?, lock?];
    if fs::read(&stamp).is_ok_and(|installed| installed == manifests.concat()) {
        return Ok(modules);
    }
    say("-- installing node packages");
    fs::create_dir_all(&directory)?;
    for (name, text) in MANIFESTS.iter().zip(&manifests) {
        fs::write(directory.join(name), text)?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    process::run(npm.current_dir(&directory))?;
    fs::write(&stamp, manifests.concat())?;
    Ok(modules)
}
