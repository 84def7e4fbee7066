//! `cargo xtask console`: builds the web console and tests it in a browser.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{cluster, install, npm, process, root, say};

/// Sources that a build and its tests read; `node_modules` lies below the target directory.
const SOURCES: [&str; 9] = [
    "index.html",
    "package.json",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
    "development.ts",
    "src",
    "public",
    "scripts",
];

/// Builds the console, compares it with `crates/console/dist` and runs all its tests. With `write`
/// it replaces the committed files and runs no test in a browser.
pub(crate) fn run(write: bool) -> anyhow::Result<()> {
    install::node()?;
    let dist = root().join("crates/console/dist");
    let work = stage()?;
    types(&work, write)?;
    say("-- svelte-check");
    process::run(Command::new("npm").args(["run", "--silent", "check"]).current_dir(&work))?;
    say("-- vitest");
    process::run(Command::new("npm").args(["run", "--silent", "test"]).current_dir(&work))?;
    say("-- vite build");
    if write {
        return process::run(node(&work, "scripts/build.mjs").arg(dist));
    }
    let built = work.join("built");
    process::run(node(&work, "scripts/build.mjs").arg(&built))?;
    process::run(node(&work, "scripts/compare.mjs").arg(&dist).arg(&built))?;
    in_browser(&work, &dist)
}

/// Copies the sources below the target directory and installs their locked packages beside them.
fn stage() -> anyhow::Result<PathBuf> {
    let sources = root().join("crates/console/ui");
    let modules = npm::modules(&sources)?;
    let work = cluster::target_directory().join("console-ui");
    if work.exists() {
        fs::remove_dir_all(&work).context("cannot empty the working directory of the console")?;
    }
    fs::create_dir_all(&work)?;
    for name in SOURCES.into_iter().chain(["tests"]) {
        process::run(Command::new("cp").arg("-r").arg(sources.join(name)).arg(&work))?;
    }
    symlink(modules, work.join("node_modules"))?;
    Ok(work)
}

/// Generates the types of docs/openapi.json, and compares or replaces the committed ones.
fn types(work: &Path, write: bool) -> anyhow::Result<()> {
    let committed = root().join("crates/console/ui/src/api/schema.d.ts");
    let generated = work.join("src/api/schema.d.ts");
    let document = root().join("docs/openapi.json");
    let mut generator = Command::new("node_modules/.bin/openapi-typescript");
    process::run(generator.arg(document).arg("--output").arg(&generated).current_dir(work))?;
    let is_current = fs::read(&generated)? == fs::read(&committed)?;
    if write {
        fs::copy(&generated, &committed)?;
        return Ok(());
    }
    anyhow::ensure!(
        is_current,
        "{} differs from docs/openapi.json: run cargo xtask console --write",
        committed.display()
    );
    Ok(())
}

/// Runs the tests that need Chromium: pictures and accessibility, measurements, and a cluster.
fn in_browser(work: &Path, dist: &Path) -> anyhow::Result<()> {
    install::chromium()?;
    install::postgres()?;
    process::build()?;
    say("-- views.mjs");
    process::run(node(work, "tests/browser/views.mjs").arg(dist))?;
    say("-- performance.mjs");
    process::run(node(work, "tests/browser/performance.mjs").arg(dist))?;
    for program in ["console.mjs", "forms.mjs"] {
        say(&format!("-- {program}"));
        let directory = testkit::directory("graywave-console-")?;
        let mut test = node(work, &format!("tests/browser/{program}"));
        process::run(test.arg(testkit::binary("graywave")?).arg(directory.path()))?;
    }
    Ok(())
}

fn node(work: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script).current_dir(work);
    command
}
