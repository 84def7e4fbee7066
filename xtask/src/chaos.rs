//! `cargo xtask chaos`: builds and runs the faults of crate `sim`.

use crate::{install, process, say};

pub(crate) fn run(minutes: f64, seed: u64) -> anyhow::Result<()> {
    install::postgres()?;
    // Without faketime the clock faults are skipped; docs/reliability.md documents this.
    if let Err(error) = install::faketime() {
        say(&format!("== skipping clock faults: {error:#}"));
    }
    process::build()?;
    let (minutes, seed) = (minutes.to_string(), seed.to_string());
    process::run(process::built("graywave-chaos")?.args(["--minutes", &minutes, "--seed", &seed]))
}
