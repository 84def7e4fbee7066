//! `cargo xtask windows`: builds the agent for Windows on this machine, and tests it under Wine.

mod msi;
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

/// Variable that makes a missing toolchain an error.
const REQUIRE: &str = "GRAYWAVE_REQUIRE_WINDOWS";

/// Runs everything if this machine has the toolchain or can install it. Without a source of its
/// packages it prints NOT TESTED; every other failure is an error. Needs the program `graywave`.
pub(crate) fn run_if_possible() -> anyhow::Result<()> {
    match toolchain::install() {
        Ok(()) => test(),
        Err(error) if std::env::var_os(REQUIRE).is_some_and(|value| value == "1") => {
            Err(error.context(format!("{REQUIRE}=1 needs the toolchain for Windows")))
        }
        Err(error) if toolchain::has_source() => Err(error),
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
    msi::run(&wine, &toolchain.output(), &toolchain.directory.join("msi"))?;
    let programs = Programs::of(&toolchain, &wine)?;
    scenario::run(&wine, &programs)
}
