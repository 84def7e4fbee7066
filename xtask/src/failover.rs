//! `cargo xtask failover`: installs Patroni and etcd if missing, builds, and runs the failovers of
//! crate `sim`.

use crate::{install, process};

pub(crate) fn run(failovers: u32, seed: u64) -> anyhow::Result<()> {
    install::postgres()?;
    install::patroni()?;
    process::build()?;
    let (failovers, seed) = (failovers.to_string(), seed.to_string());
    process::run(process::built("graywave-failover")?.args(["--failovers", &failovers, "--seed", &seed]))
}
