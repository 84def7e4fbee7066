//! `cargo xtask sim`: builds the simulator of crate `sim` with optimisation and runs it.

use crate::process;

pub(crate) fn run(seeds: u64, from: u64, seed: Option<u64>) -> anyhow::Result<()> {
    let arguments = [
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "graywave-sim",
        "--bin",
        "graywave-sim",
        "--",
    ];
    let mut simulator = process::cargo(&arguments);
    match seed {
        Some(seed) => simulator.args(["--seed", &seed.to_string()]),
        None => simulator.args(["--seeds", &seeds.to_string(), "--from", &from.to_string()]),
    };
    process::run(&mut simulator)
}
