//! `cargo xtask packages`: the packages in fresh Debian systems, with and without systemd.

mod booted;
mod cluster;
mod control_plane;
mod fedora;
mod machine;
mod plain;
mod units;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{
    dist::{self, Format, Programs},
    images, install, process, say,
};
use cluster::Cluster;

/// Variable that makes a missing mirror of Debian an error.
const REQUIRE: &str = "GRAYWAVE_REQUIRE_PACKAGES";

/// Packages of the present and of a later version, of the same programs.
struct Versions {
    /// Directory of the packages.
    directory: PathBuf,
    present: String,
    later: String,
}

impl Versions {
    fn build(programs: &Programs, directory: &Path) -> anyhow::Result<Self> {
        let present = images::version().to_owned();
        let later = format!("{present}+later");
        for version in [&present, &later] {
            dist::packages_for_tests(programs, version, Format::Deb, directory)?;
        }
        Ok(Self { directory: directory.to_owned(), present, later })
    }

    /// Path of a package.
    fn deb(&self, name: &str, version: &str) -> anyhow::Result<PathBuf> {
        let start = format!("{name}_{version}_");
        let mut entries = std::fs::read_dir(&self.directory)?.filter_map(Result::ok);
        let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&start));
        Ok(found.with_context(|| format!("no package {start}*.deb"))?.path())
    }
}

/// Builds the programs, unless they are `built`, and runs all tests of the packages.
pub(crate) fn build_and_run(built: bool) -> anyhow::Result<()> {
    install::postgres()?;
    if !built {
        process::build()?;
    }
    provide()?;
    run()
}

/// Runs all tests if this machine has or can install the tools and the Debian system. Otherwise it
/// prints NOT TESTED. Needs the programs of [`process::build`].
pub(crate) fn run_if_possible() -> anyhow::Result<()> {
    match provide() {
        Ok(()) => run(),
        Err(error) if std::env::var_os(REQUIRE).is_some_and(|value| value == "1") => {
            Err(error.context(format!("{REQUIRE}=1 needs a mirror of Debian, and root")))
        }
        Err(error) => {
            say(&format!("==\n== NOT TESTED: the packages: {error:#}\n=="));
            Ok(())
        }
    }
}

/// Provides tools and the Debian system.
fn provide() -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "only root can change its root directory");
    install::package_tools()?;
    install::package_tests()?;
    crate::debian::archive().map(drop)
}

/// Builds the packages again and compares the bytes.
fn check_reproducible(programs: &Programs, versions: &Versions) -> anyhow::Result<()> {
    let again = tempfile::tempdir_in(&versions.directory)?;
    for format in [Format::Deb, Format::Rpm] {
        for package in dist::packages_for_tests(programs, &versions.present, format, again.path())? {
            let name = package.file_name().context("a package without a name")?;
            let first = std::fs::read(versions.directory.join(name))?;
            anyhow::ensure!(first == std::fs::read(&package)?, "{} differs", name.display());
        }
    }
    say("-- the same packages have the same bytes");
    Ok(())
}

fn run() -> anyhow::Result<()> {
    let directory =
        tempfile::Builder::new().prefix("graywave-packages-").tempdir_in(images::engine::fast_directory())?;
    let programs = dist::programs_for_tests()?;
    let versions = Versions::build(&programs, directory.path())?;
    units::verify(&versions)?;
    fedora::run(&programs, directory.path())?;
    check_reproducible(&programs, &versions)?;
    drop(programs);
    let cluster = Cluster::start()?;
    plain::run(&cluster, &versions, directory.path())?;
    booted::run_if_possible(&cluster, &versions, directory.path())
}
