//! `cargo xtask helm`: compares the chart with deploy/kubernetes, or makes its templates.

use std::process::Command;

use crate::{install, process, python, root, say};

/// Checks the chart without a cluster. With `write`, makes its templates from the kustomizations.
pub(crate) fn run(write: bool) -> anyhow::Result<()> {
    install::python()?;
    let checks = root().join("deploy/helm/check");
    let python = python::environment("helm", &checks.join("requirements.txt"))?;
    let arguments: &[&str] = if write { &["chart.py", "--write"] } else { &["-m", "unittest", "--quiet"] };
    say(&format!("-- {}", arguments.join(" ")));
    // -B keeps Python's bytecode files out of the source tree.
    let mut command = Command::new(&python);
    command.arg("-B").args(arguments).current_dir(&checks);
    process::run(command.env("PYTHONPATH", root().join("deploy/kubernetes/check")))
}
