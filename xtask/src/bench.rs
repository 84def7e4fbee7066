//! `cargo xtask bench`: builds the benchmark of crate `sim` with optimisation and runs it.

use crate::process;

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let packages = ["graywave", "graywave-agent", "graywave-runner", "graywave-sim"];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    process::run(process::cargo(&["build", "--release", "--bins"]).args(packages))?;
    let run = ["run", "--quiet", "--release", "--package", "graywave-sim", "--bin", "graywave-bench", "--"];
    process::run(process::cargo(&run).args(arguments))
}
