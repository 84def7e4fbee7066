//! `cargo xtask failover`: installs Patroni and etcd where they are missing, builds, and runs the failovers of crate `sim`.

use crate::{install, process};

pub(crate) fn run(failovers: u32, seed: u64) -> anyhow::Result<()> {
    install::postgres()?;
    install::patroni()?;
    process::run(&mut process::cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"]))?;
    let (failovers, seed) = (failovers.to_string(), seed.to_string());
    let arguments =
        ["run", "--quiet", "--locked", "--package", "graywave-sim", "--bin", "graywave-failover", "--"];
    process::run(process::cargo(&arguments).args(["--failovers", &failovers, "--seed", &seed]))
}
