//! Runs client programs against dev clusters.

use std::{path::PathBuf, process::Command};

use testkit::DevCluster;

use crate::process;

/// Directory of cargo's build output.
pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from)
}

/// Runs a client program against a new dev cluster. The last argument is the cluster's ready line.
pub(crate) fn run_client(program: &mut Command, desktops: u32) -> anyhow::Result<()> {
    let directory = testkit::directory("graywave-client-")?;
    let mut cluster = DevCluster::start(&directory.path().join("data"), desktops, &[])?;
    program.arg(&cluster.ready_line).current_dir(directory.path());
    // The SDKs write files to the working directory and the home directory.
    process::run(program.env("HOME", directory.path()))?;
    cluster.process.stop_cleanly()
}
