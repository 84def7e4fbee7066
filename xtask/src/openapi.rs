//! `cargo xtask openapi`: the linters of Redocly and Stoplight on docs/openapi.json.

use std::process::Command;

use crate::{install, npm, process, root, say};

/// Fails on each error and each warning.
pub(crate) fn run() -> anyhow::Result<()> {
    install::node()?;
    let tests = root().join("tests/openapi");
    let document = root().join("docs/openapi.json");
    let programs = npm::modules(&tests)?.join(".bin");
    say("-- redocly lint");
    let mut redocly = Command::new(programs.join("redocly"));
    redocly.arg("lint").arg(&document).arg("--config").arg(tests.join("redocly.yaml"));
    process::run(redocly.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true"))?;
    say("-- spectral lint");
    let mut spectral = Command::new(programs.join("spectral"));
    spectral.arg("lint").arg(&document).arg("--ruleset").arg(tests.join("spectral.yaml"));
    process::run(spectral.args(["--fail-severity", "hint"]))
}
