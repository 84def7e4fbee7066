//! Tarballs, for systems without a supported package manager.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Release, content::Package, files};
use crate::process;

/// Builds a tarball with one directory, whose content belongs below /usr, and returns its path.
pub(super) fn build(
    release: &Release,
    package: &Package,
    scratch: &Path,
    output: &Path,
) -> anyhow::Result<PathBuf> {
    let name = release.name(package.name);
    let tree = scratch.join(&name);
    files::stage(package, &tree, release.epoch_s, |target| placed(target, package.name))?;
    let archive = scratch.join(format!("{name}.tar"));
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", release.epoch_s)).arg("--file").arg(&archive);
    process::run(tar.arg("--directory").arg(scratch).arg(&name))?;
    let level = if release.is_quick() { "-1" } else { "-9" };
    process::run(Command::new("gzip").args(["--no-name", level]).arg(&archive))?;
    let path = output.join(format!("{name}.tar.gz"));
    fs::copy(archive.with_extension("tar.gz"), &path)?;
    fs::remove_dir_all(&tree)?;
    Ok(path)
}

/// Path in the tarball. Settings become examples, so that unpacking overwrites none.
fn placed(target: &str, package: &str) -> Option<String> {
    match target.strip_prefix("/usr/") {
        Some(below) => Some(below.to_owned()),
        None => {
            let (_, name) = target.rsplit_once('/')?;
            Some(format!("share/doc/{package}/examples/{name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_examples_of_the_package() {
        assert_eq!(placed("/usr/bin/graywave", "graywave").as_deref(), Some("bin/graywave"));
        let settings = placed("/etc/graywave/agent.env", "graywave-agent");
        assert_eq!(settings.as_deref(), Some("share/doc/graywave-agent/examples/agent.env"));
    }
}
