//! The direction of dependencies, between crates and between the modules of a crate. ARCHITECTURE.md explains it.

mod imports;
mod metadata;
mod modules;

use anyhow::bail;

use self::metadata::Metadata;

/// Reads the workspace and fails if a crate imports what it may not, or if modules depend on each other in a circle.
pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = Metadata::read()?;
    let mut faults = imports::faults(&metadata);
    faults.extend(modules::faults(&metadata)?);
    if !faults.is_empty() {
        bail!("dependencies against the direction of the layers:\n  {}", faults.join("\n  "));
    }
    Ok(())
}
