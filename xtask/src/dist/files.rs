//! Files in staging directories, with hashes and times.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::content::Package;

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex::encode(Sha256::digest(bytes)))
}

/// Copies the files of a package below a directory. `place` gives each its path there from the one
/// in the package; `None` leaves the file out.
pub(super) fn stage(
    package: &Package,
    directory: &Path,
    epoch_s: i64,
    place: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<()> {
    for entry in &package.entries {
        let Some(placed) = place(&entry.target) else { continue };
        let target = directory.join(placed.trim_start_matches('/'));
        create_directory(target.parent().unwrap_or(directory))?;
        fs::copy(&entry.source, &target)
            .with_context(|| format!("cannot copy {} to {}", entry.source.display(), target.display()))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(entry.mode))?;
        set_time(&target, epoch_s)?;
    }
    Ok(())
}

/// Creates a directory and those above it, readable for all users under any umask.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(above) = directory.parent() {
        create_directory(above)?;
    }
    fs::create_dir(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

/// Sets the time of the last change.
pub(super) fn set_time(path: &Path, epoch_s: i64) -> anyhow::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(epoch_s)?);
    let file = File::options().write(true).open(path).or_else(|_| File::open(path))?;
    Ok(file.set_modified(time)?)
}
