//! A Debian of its essential packages, made once for images and for tests of packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{cluster, install, process, say};

/// Release of Debian, as in the images.
const SUITE: &str = "bookworm";

/// Archive of the system, below the target directory. Made by debootstrap if it is missing.
pub(crate) fn archive() -> anyhow::Result<PathBuf> {
    let directory = cluster::target_directory().join("debian");
    let archive = directory.join(format!("{SUITE}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    install::debootstrap()?;
    fs::create_dir_all(&directory)?;
    say(&format!("-- debootstrap {SUITE}"));
    let scratch = tempfile::tempdir()?;
    let system = scratch.path().join("system");
    let mut make = Command::new("debootstrap");
    make.args(["--variant=minbase", SUITE]).arg(&system).stdout(Stdio::null());
    process::run(&mut make)?;
    // Renamed when it is whole: another command may have been interrupted.
    let part = directory.join(format!("{SUITE}.{}.part", std::process::id()));
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(&system).arg("--create").arg("--file").arg(&part);
    process::run(tar.args(["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "."]))?;
    fs::rename(&part, &archive)?;
    Ok(archive)
}

/// Unpacks the system into a new directory.
pub(crate) fn unpack(directory: &Path) -> anyhow::Result<()> {
    let archive = archive()?;
    fs::create_dir(directory)?;
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(directory).args(["--extract", "--preserve-permissions", "--file"]);
    process::run(tar.arg(archive))
}
