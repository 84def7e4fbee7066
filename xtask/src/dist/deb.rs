//! Packages for Debian and Ubuntu, by dpkg-deb.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::{
    Release,
    content::{Kind, Package},
    files, libraries,
};
use crate::process;

/// Files of a package that dpkg runs, where the package has them.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

/// Builds a package and returns its path.
pub(super) fn build(
    release: &Release,
    package: &Package,
    scratch: &Path,
    output: &Path,
) -> anyhow::Result<PathBuf> {
    let tree = scratch.join(format!("{}-{}.deb", package.name, release.version));
    files::stage(package, &tree, release.epoch_s, |target| Some(target.to_owned()))?;
    let control = tree.join("DEBIAN");
    files::create_directory(&control)?;
    let architecture = architecture()?;
    fs::write(control.join("control"), control_file(release, package, architecture)?)?;
    fs::write(control.join("conffiles"), conffiles(package))?;
    fs::write(control.join("md5sums"), md5sums(package, &tree)?)?;
    for script in SCRIPTS {
        let source = package.scripts.join(script);
        if source.is_file() {
            fs::copy(&source, control.join(script))?;
            fs::set_permissions(control.join(script), fs::Permissions::from_mode(0o755))?;
        }
    }
    let path = output.join(format!("{}_{}_{architecture}.deb", package.name, release.package_version()));
    let compression: &[&str] =
        if release.is_quick() { &["-Zgzip", "-z1"] } else { &["-Zxz", "-z6", "--threads-max=1"] };
    let mut dpkg = Command::new("dpkg-deb");
    // Files are newer than this time, so that all get it.
    dpkg.env("SOURCE_DATE_EPOCH", release.epoch_s.to_string());
    dpkg.args(compression).args(["--root-owner-group", "--build"]).arg(&tree).arg(&path);
    process::output(&mut dpkg)?;
    fs::remove_dir_all(&tree)?;
    Ok(path)
}

/// Debian's name of this machine's architecture.
pub(crate) fn architecture() -> anyhow::Result<&'static str> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Debian architecture is known for {other}: x86_64 and aarch64 are supported"),
    })
}

/// For the format see deb-control(5).
fn control_file(release: &Release, package: &Package, architecture: &str) -> anyhow::Result<String> {
    let mut needed = std::collections::BTreeSet::new();
    let mut bytes = 0;
    for entry in &package.entries {
        bytes += fs::metadata(&entry.source)?.len();
        if entry.target.starts_with("/usr/bin/") {
            needed.extend(libraries::requirements(&entry.source)?);
        }
    }
    let glibc = libraries::glibc(&needed).context("the programs need no symbol of glibc")?;
    Ok(format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: Graywave maintainers <packages@graywave.example>\nInstalled-Size: {size}\n\
         Depends: libc6 (>= {glibc}), libgcc-s1, init-system-helpers (>= 1.54), passwd\nSection: admin\n\
         Priority: optional\nHomepage: https://github.com/graywave/graywave\nDescription: {summary}\n{description}",
        name = package.name,
        version = release.package_version(),
        size = bytes.div_ceil(1024),
        summary = package.summary,
        description = folded(package.description),
    ))
}

/// Paragraph of a description: lines of at most 78 columns that begin with a space.
fn folded(text: &str) -> String {
    let mut folded = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        if columns == 0 || columns + word.len() > 76 {
            folded.push_str(if columns == 0 { " " } else { "\n " });
            columns = 1;
        } else {
            folded.push(' ');
            columns += 1;
        }
        folded.push_str(word);
        columns += word.len();
    }
    folded.push('\n');
    folded
}

fn conffiles(package: &Package) -> String {
    let settings = package.entries.iter().filter(|entry| entry.kind == Kind::Config);
    settings.map(|entry| format!("{}\n", entry.target)).collect()
}

/// Hashes with which `dpkg --verify` checks the installed files.
fn md5sums(package: &Package, tree: &Path) -> anyhow::Result<String> {
    let files = package.entries.iter().filter(|entry| entry.kind == Kind::File);
    let mut md5sum = Command::new("md5sum");
    md5sum.args(files.map(|entry| entry.target.trim_start_matches('/'))).current_dir(tree);
    process::output(&mut md5sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_is_folded_with_a_leading_space() {
        let text = folded(&"word ".repeat(40));
        assert!(text.lines().count() > 2 && text.ends_with('\n'), "{text}");
        assert!(text.lines().all(|line| line.starts_with(" word") && line.len() <= 78), "{text}");
    }
}
