//! `cargo xtask proto`: lints the protos with buf. A test of crate `proto` checks compatibility
//! with published versions.

use std::process::Command;

use crate::{install, process, python, root};

/// Lints names, files and comments by the rules of `proto/buf.yaml`.
pub(crate) fn run() -> anyhow::Result<()> {
    install::python()?;
    let python = python::environment("buf", &root().join("tests/python/buf.txt"))?;
    process::run(Command::new(python.with_file_name("buf")).arg("lint").current_dir(root().join("proto")))
}
