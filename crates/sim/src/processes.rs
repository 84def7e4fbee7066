//! What is needed to run the roles as separate processes on loopback.

use std::path::PathBuf;

use anyhow::bail;

/// Addresses on loopback that are free now, all of them different.
pub fn addresses<const NUMBER: usize>() -> anyhow::Result<[String; NUMBER]> {
    let addresses: Vec<String> =
        pgcluster::free_ports(NUMBER)?.into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    addresses.try_into().map_err(|_| anyhow::anyhow!("not {NUMBER} ports"))
}

/// One of the project's programs, which cargo puts beside this one.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built: run this as `cargo xtask`, which builds it", path.display());
    }
    Ok(path)
}
