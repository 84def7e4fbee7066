//! `cargo xtask oidc`: sign-in to the web console with npm's identity provider.

use std::process::Command;

use crate::{install, npm, process, root, say};

/// Runs the program of tests/oidc, which starts a cluster and a provider.
pub(crate) fn run() -> anyhow::Result<()> {
    install::postgres()?;
    install::node()?;
    process::build()?;
    let tests = root().join("tests/oidc");
    let modules = npm::modules(&tests)?;
    let directory = testkit::directory("graywave-oidc-")?;
    say("-- sign_in.mjs");
    let mut program = Command::new("node");
    program.arg(tests.join("sign_in.mjs")).arg(testkit::binary("graywave")?).arg(directory.path());
    process::run(program.env("NODE_PATH", modules))
}
