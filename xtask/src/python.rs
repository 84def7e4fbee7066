//! `cargo xtask python`: the official SDK, the OpenAPI document, and two gRPC clients, one based on
//! reflection and one generated from the protos, each against a new dev cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{cluster, install, process, root, say};

const DESKTOPS: u32 = 6;

/// Programs, run one after the other, each on a new cluster.
pub(crate) fn run() -> anyhow::Result<()> {
    install::python()?;
    process::build()?;
    let python = environment("python", &tests().join("requirements.txt"))?;
    for program in ["sdk.py", "openapi.py", "admin_grpc.py", "admin_generated.py"] {
        say(&format!("-- {program}"));
        cluster::run_client(Command::new(&python).arg(tests().join(program)), DESKTOPS)?;
    }
    Ok(())
}

fn tests() -> PathBuf {
    root().join("tests/python")
}

/// Python of a virtual environment with the given requirements; recreated when the requirements
/// change.
pub(crate) fn environment(name: &str, requirements: &Path) -> anyhow::Result<PathBuf> {
    let directory = cluster::target_directory().join(name);
    let python = directory.join("bin/python");
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    // Written last, so that an incomplete environment is created again.
    let stamp = directory.join("requirements.txt");
    if fs::read(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    say("-- creating a virtual environment");
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    process::run(pip.arg(requirements))?;
    fs::write(&stamp, wanted)?;
    Ok(python)
}
