//! `cargo xtask chaos`: builds and runs the faults of crate `sim`.

use crate::{install, process, say};

pub(crate) fn run(minutes: f64, seed: u64) -> anyhow::Result<()> {
    install::postgres()?;
    // Faults of clocks are left out where it cannot be had, and docs/reliability.md says so.
    if let Err(error) = install::faketime() {
        say(&format!("== no clocks are set: {error:#}"));
    }
    process::build()?;
    let (minutes, seed) = (minutes.to_string(), seed.to_string());
    process::run(process::built("graywave-chaos")?.args(["--minutes", &minutes, "--seed", &seed]))
}
