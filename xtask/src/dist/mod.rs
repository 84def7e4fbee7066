//! `cargo xtask dist`: everything of a release under target/dist, the same bytes for the same
//! commit: tarballs, .deb, .rpm, bills of materials, provenance and SHA256SUMS.

mod build;
mod content;
mod deb;
mod files;
mod libraries;
mod provenance;
mod rpm;
mod tarball;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) use build::Programs;
pub(crate) use content::Format;
use content::packages;

use crate::{cluster, dependencies, images, install, process, say};

/// File with the hashes of all others.
const CHECKSUMS: &str = "SHA256SUMS";
/// Time of a file outside of a repository and without `SOURCE_DATE_EPOCH`: 1980, which every format
/// can express.
const DEFAULT_EPOCH_S: i64 = 315_532_800;

/// Facts that all files of a release share.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// Version of the workspace.
    pub(crate) version: String,
    /// Commit hash; `unknown` outside of a repository.
    pub(crate) commit: String,
    /// Time of all packaged files, in Unix seconds.
    pub(crate) epoch_s: i64,
    /// Cargo profile of the programs.
    pub(crate) profile: String,
}

impl Release {
    /// Describes a release of this workspace.
    pub(crate) fn new(profile: &str) -> anyhow::Result<Self> {
        let git = |arguments: &[&str]| {
            let mut git = std::process::Command::new("git");
            process::output(git.args(arguments).current_dir(crate::root()))
                .ok()
                .map(|it| it.trim().to_owned())
        };
        let given = std::env::var("SOURCE_DATE_EPOCH").ok();
        let epoch_s = match given.or_else(|| git(&["log", "-1", "--format=%ct"])) {
            Some(text) => text.parse()?,
            None => DEFAULT_EPOCH_S,
        };
        let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into());
        Ok(Self { version: images::version().to_owned(), commit, epoch_s, profile: profile.to_owned() })
    }

    /// Whether the files are for tests, so that compression costs more than it saves.
    fn is_quick(&self) -> bool {
        self.profile == build::DEV
    }

    /// Version for package managers, in which `1.0.0-rc.1` must precede `1.0.0`.
    pub(crate) fn package_version(&self) -> String {
        self.version.replacen('-', "~", 1)
    }

    /// Name of a file for this machine's architecture, without an extension.
    fn name(&self, package: &str) -> String {
        format!("{package}-{}-{}-linux-gnu", self.version, std::env::consts::ARCH)
    }
}

/// Builds a whole release into a directory, by default target/dist. With `with_images`, also builds
/// the container images, which need a Docker engine.
pub(crate) fn run(profile: &str, output: Option<PathBuf>, with_images: bool) -> anyhow::Result<()> {
    install::package_tools()?;
    let output = output.unwrap_or_else(|| cluster::target_directory().join("dist"));
    let release = Release::new(profile)?;
    let programs = build::programs(&release)?;
    remove_earlier(&output)?;
    let mut made = make(&release, &programs, &output)?;
    made.push(provenance::write(&release, &output, &made)?);
    write_checksums(&output, &made)?;
    if with_images {
        images::run(profile)?;
    }
    for path in made.iter().chain([&output.join(CHECKSUMS)]) {
        say(&format!("== {} ({} bytes)", path.display(), fs::metadata(path)?.len()));
    }
    Ok(())
}

/// Builds tarballs, packages and bills of materials of both packages. Returns their paths.
fn make(release: &Release, programs: &Programs, output: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let scratch = tempfile::tempdir()?;
    let mut made = Vec::new();
    let mut bills = dependencies::write_sbom(programs.directory())?;
    bills.sort();
    for bill in bills {
        let name = bill.file_name().unwrap_or_default().to_string_lossy().replace(".cdx.json", "");
        let path = output.join(format!("{}.cdx.json", release.name(&name)));
        fs::copy(&bill, &path)?;
        made.push(path);
    }
    for package in packages(programs.directory(), Format::Deb)? {
        made.push(deb::build(release, &package, scratch.path(), output)?);
    }
    for package in packages(programs.directory(), Format::Rpm)? {
        made.push(rpm::build(release, &package, output)?);
        made.push(tarball::build(release, &package, scratch.path(), output)?);
    }
    made.sort();
    Ok(made)
}

/// Programs that are built already, for [`packages_for_tests`].
pub(crate) fn programs_for_tests() -> anyhow::Result<Programs> {
    let programs = build::programs(&Release::new(build::DEV)?)?;
    dependencies::write_sbom(programs.directory())?;
    Ok(programs)
}

/// Builds only the packages of a format, for tests. `version` replaces that of the workspace.
pub(crate) fn packages_for_tests(
    programs: &Programs,
    version: &str,
    format: Format,
    output: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let release = Release { version: version.to_owned(), ..Release::new(build::DEV)? };
    let scratch = tempfile::tempdir()?;
    let made = packages(programs.directory(), format)?;
    made.iter()
        .map(|package| match format {
            Format::Deb => deb::build(&release, package, scratch.path(), output),
            Format::Rpm => rpm::build(&release, package, output),
        })
        .collect()
}

/// Removes the files of an earlier release, as its list of hashes names them. The directory may
/// hold files of others.
fn remove_earlier(output: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(output)?;
    let sums = fs::read_to_string(output.join(CHECKSUMS)).unwrap_or_default();
    for name in sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name) {
        if !name.contains('/') && output.join(name).is_file() {
            fs::remove_file(output.join(name))?;
        }
    }
    Ok(())
}

/// Writes the hash of each file in the format of `sha256sum --check`.
fn write_checksums(output: &Path, made: &[PathBuf]) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for path in made {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        lines.push(format!("{}  {name}\n", files::sha256(path)?));
    }
    Ok(fs::write(output.join(CHECKSUMS), lines.concat())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prerelease_precedes_its_release() {
        let release = |version: &str| Release {
            version: version.into(),
            commit: String::new(),
            epoch_s: 0,
            profile: build::DEV.into(),
        };
        assert_eq!(release("1.2.0-rc.1-x").package_version(), "1.2.0~rc.1-x");
        assert_eq!(release("1.2.0").package_version(), "1.2.0");
    }

    #[test]
    fn only_listed_files_of_an_earlier_release_go() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["graywave.deb", "foreign"] {
            fs::write(at(name), name).unwrap();
        }
        write_checksums(directory.path(), &[at("graywave.deb")]).unwrap();
        remove_earlier(directory.path()).unwrap();
        assert!(!at("graywave.deb").exists() && at("foreign").exists());
    }
}
