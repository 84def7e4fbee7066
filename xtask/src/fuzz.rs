//! `cargo xtask fuzz`: mutated inputs for each decoder of untrusted bytes.

use crate::{database, process, say};

/// Packages with fuzz targets: tests whose names begin with `fuzz_`.
const PACKAGES: [&str; 5] =
    ["graywave", "graywave-agent", "graywave-api", "graywave-mtls", "graywave-runner"];

/// Runs the targets whose names contain `target`, each for some minutes, one after the other.
pub(crate) fn run(minutes: f64, target: &str, seed: Option<u64>) -> anyhow::Result<()> {
    let scratch = database::Scratch::start()?;
    process::build()?;
    let mut command = process::cargo(&["test", "--quiet", "--locked"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    command.args(["--", &format!("fuzz_{target}"), "--nocapture", "--test-threads", "1"]);
    command.env("GRAYWAVE_TEST_POSTGRES", scratch.url());
    command.env("GRAYWAVE_FUZZ_SECONDS", format!("{:.0}", minutes * 60.0));
    if let Some(seed) = seed {
        command.env("GRAYWAVE_FUZZ_SEED", seed.to_string());
    }
    say(&format!("-- {minutes} minutes for each target; a finding names its seed"));
    process::run(&mut command)
}
