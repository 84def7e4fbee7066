//! What is needed to run the roles as separate processes on loopback.

use std::{net::TcpListener, path::PathBuf};

use anyhow::bail;

/// Addresses on loopback that are free now. All are taken at once, so that no two are the same.
pub fn addresses<const NUMBER: usize>() -> anyhow::Result<[String; NUMBER]> {
    let mut listeners = Vec::with_capacity(NUMBER);
    let mut found = [const { String::new() }; NUMBER];
    for address in &mut found {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *address = listener.local_addr()?.to_string();
        listeners.push(listener);
    }
    Ok(found)
}

/// One of the project's programs, which cargo puts beside this one.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built: run this as `cargo xtask`, which builds it", path.display());
    }
    Ok(path)
}
