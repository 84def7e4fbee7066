//! `cargo xtask node`: the official SDK for Node.js against a dev cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{cluster, install, process, root, say};

const DESKTOPS: u32 = 2;
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Runs the program of tests/node on a new cluster.
pub(crate) fn run() -> anyhow::Result<()> {
    install::node()?;
    process::build()?;
    let tests = root().join("tests/node");
    let modules = modules(&tests)?;
    say("-- sdk.js");
    cluster::run_client(Command::new("node").arg(tests.join("sdk.js")).env("NODE_PATH", modules), DESKTOPS)
}

/// Installs the locked packages below the target directory, again after each change of a manifest;
/// returns `node_modules`.
fn modules(tests: &Path) -> anyhow::Result<PathBuf> {
    let directory = cluster::target_directory().join("node");
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
