//! `cargo xtask kubernetes`: what is under deploy/kubernetes, rendered by kustomize and checked, without a cluster.

use std::process::Command;

use crate::{install, process, python, root, say};

/// The checks on the manifests, then the tests of the checks themselves.
pub(crate) fn run() -> anyhow::Result<()> {
    install::python()?;
    let checks = root().join("deploy/kubernetes/check");
    let python = python::environment("kubernetes", &checks.join("requirements.txt"))?;
    for arguments in [&["check.py"][..], &["-m", "unittest", "--quiet"]] {
        say(&format!("-- {}", arguments.join(" ")));
        // Without -B Python would leave its compiled files in the source tree.
        process::run(Command::new(&python).arg("-B").args(arguments).current_dir(&checks))?;
    }
    Ok(())
}
