//! `cargo xtask windows`: builds the agent for Windows on this machine, and tests it under Wine.

mod programs;
mod scenario;
mod toolchain;
mod wine;

use crate::{process, say};
use programs::Programs;
use toolchain::Toolchain;
use wine::Wine;

/// Packages whose tests run under Wine.
const PACKAGES: [&str; 3] = ["graywave-win32", "graywave-runner", "graywave-agent"];

/// Installs what is missing, and runs everything. Fails on a machine without the toolchain.
pub(crate) fn run() -> anyhow::Result<()> {
    toolchain::install()?;
    process::run(&mut process::cargo(&["build", "--quiet", "--locked", "--package", "graywave"]))?;
    test()
}

/// Runs everything if this machine has the toolchain or can install it, and says loudly if not.
/// Needs the program `graywave`.
pub(crate) fn run_if_possible() -> anyhow::Result<()> {
    match toolchain::install() {
        Ok(()) => test(),
        Err(error) => {
            say(&format!("==\n== NOT TESTED: the agent for Windows: {error:#}\n=="));
            Ok(())
        }
    }
}

fn test() -> anyhow::Result<()> {
    let toolchain = Toolchain::new();
    let wine = Wine::new(&toolchain.directory)?;
    process::run(&mut wine.runs_tests(toolchain.cargo("test", &PACKAGES)))?;
    process::run(&mut toolchain.cargo("build", &["graywave-runner", "graywave-agent"]))?;
    let programs = Programs::of(&toolchain, &wine)?;
    scenario::run(&wine, &programs)
}
