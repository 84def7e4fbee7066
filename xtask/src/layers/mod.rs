//! Direction of dependencies between crates and between the modules of a crate. ARCHITECTURE.md
//! explains the rules.

mod imports;
mod metadata;
mod modules;

use anyhow::bail;

use self::metadata::Metadata;

/// Checks the workspace. Fails on a forbidden import or on a circle of modules.
pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = Metadata::read()?;
    let mut faults = imports::faults(&metadata);
    faults.extend(modules::faults(&metadata)?);
    if !faults.is_empty() {
        bail!("dependencies against the direction of the layers:\n  {}", faults.join("\n  "));
    }
    Ok(())
}
