//! `cargo xtask proto`: the protos against buf's rules. What was published is held by a test of crate proto.

use std::process::Command;

use crate::{install, process, python, root};

/// Looks at names, files and comments, as `proto/buf.yaml` says.
pub(crate) fn run() -> anyhow::Result<()> {
    install::python()?;
    let python = python::environment("buf", &root().join("tests/python/buf.txt"))?;
    process::run(Command::new(python.with_file_name("buf")).arg("lint").current_dir(root().join("proto")))
}
