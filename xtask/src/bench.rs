//! `cargo xtask bench`: builds for speed and runs the benchmark of crate `sim`.

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
