//! `cargo xtask fuzz`: mutated inputs for each decoder of untrusted bytes.

use crate::{database, process, say};

/// Runs the targets whose names begin with `target`, each for some minutes, one after the other. A
/// target is a test whose name begins with `fuzz_`.
pub(crate) fn run(minutes: f64, target: &str, seed: Option<u64>) -> anyhow::Result<()> {
    let scratch = database::Scratch::start()?;
    process::build()?;
    // The whole workspace, as every step: a part of it selects other features of dependencies.
    let mut command =
        process::cargo(&["test", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--tests"]);
    command.args(["--", &format!("fuzz_{target}"), "--nocapture", "--test-threads", "1"]);
    command.env("GRAYWAVE_TEST_POSTGRES", scratch.url());
    command.env("GRAYWAVE_FUZZ_SECONDS", format!("{:.0}", minutes * 60.0));
    if let Some(seed) = seed {
        command.env("GRAYWAVE_FUZZ_SEED", seed.to_string());
    }
    say(&format!("-- {minutes} minutes for each target; a finding names its seed"));
    process::run(&mut command)
}
