//! `cargo xtask node`: the official SDK for Node.js against a dev cluster.

use std::process::Command;

use crate::{cluster, install, npm, process, root, say};

const DESKTOPS: u32 = 2;

/// Runs the program of tests/node on a new cluster.
pub(crate) fn run() -> anyhow::Result<()> {
    install::node()?;
    process::build()?;
    let tests = root().join("tests/node");
    let modules = npm::modules(&tests)?;
    say("-- sdk.js");
    cluster::run_client(Command::new("node").arg(tests.join("sdk.js")).env("NODE_PATH", modules), DESKTOPS)
}
