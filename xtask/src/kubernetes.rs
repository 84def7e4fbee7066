//! `cargo xtask kubernetes`: renders deploy/kubernetes with kustomize and checks it, without a
//! cluster.

use std::process::Command;

use crate::{install, process, python, root, say};

/// Runs the checks on the manifests, then the tests of the checks.
pub(crate) fn run() -> anyhow::Result<()> {
    install::python()?;
    let checks = root().join("deploy/kubernetes/check");
    let python = python::environment("kubernetes", &checks.join("requirements.txt"))?;
    for arguments in [&["check.py"][..], &["-m", "unittest", "--quiet"]] {
        say(&format!("-- {}", arguments.join(" ")));
        // -B keeps Python's bytecode files out of the source tree.
        process::run(Command::new(&python).arg("-B").args(arguments).current_dir(&checks))?;
    }
    Ok(())
}
