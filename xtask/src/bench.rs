//! `cargo xtask bench`: builds the benchmark of crate `sim` with optimisation and runs it.

use crate::process;

pub(crate) fn run(desktops: u32, tries: u32) -> anyhow::Result<()> {
    process::run(&mut process::cargo(&[
        "build",
        "--release",
        "--package",
        "graywave",
        "--package",
        "graywave-sim",
        "--bins",
    ]))?;
    let arguments =
        ["run", "--quiet", "--release", "--package", "graywave-sim", "--bin", "graywave-bench", "--"];
    let (desktops, tries) = (desktops.to_string(), tries.to_string());
    process::run(process::cargo(&arguments).args(["--desktops", &desktops, "--tries", &tries]))
}
