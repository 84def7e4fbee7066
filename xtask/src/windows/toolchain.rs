//! Debian's Rust, which has the sources of the standard library, and the linker of MinGW. The
//! standard library for Windows is built with the project.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{cluster, install, process};

const TARGET: &str = "x86_64-pc-windows-gnu";
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";

/// Files that show that all packages are installed.
const NECESSARY: [&str; 7] = [
    CARGO,
    RUSTC,
    "/usr/lib/rustlib/src/rust/library/Cargo.lock",
    "/usr/bin/x86_64-w64-mingw32-gcc",
    super::wine::PROGRAM,
    "/usr/bin/wixl",
    "/usr/bin/msibuild",
];

/// Packages of Debian, the first three from its security archive.
const PACKAGES: [&str; 7] =
    ["cargo-web", "rustc-web", "rust-web-src", "gcc-mingw-w64-x86-64", "wine64", "wixl", "msitools"];

/// Variables of the calling cargo that would change the toolchain or the build.
const FOREIGN: [&str; 7] = [
    "CARGO",
    "RUSTUP_TOOLCHAIN",
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_UNSTABLE_FEATURE_UNIFICATION",
    "CARGO_RESOLVER_FEATURE_UNIFICATION",
];

/// Installs the packages where one is missing.
pub(super) fn install() -> anyhow::Result<()> {
    if NECESSARY.iter().all(|file| Path::new(file).exists()) {
        return Ok(());
    }
    install::apt("the toolchain for Windows", &PACKAGES)
}

/// Whether this machine can install packages, its package sources answer, and they have all of
/// these packages.
pub(super) fn has_source() -> bool {
    let simulated: Vec<_> = ["install", "--simulate"].into_iter().chain(PACKAGES).collect();
    pgcluster::apt::can_install()
        && install::answers("apt-get", &["update", "--error-on=any"])
        && install::answers("apt-get", &simulated)
}

/// Cargo that builds for Windows into a directory of its own.
pub(super) struct Toolchain {
    pub(super) directory: PathBuf,
}

impl Toolchain {
    pub(super) fn new() -> Self {
        Self { directory: cluster::target_directory().join("windows") }
    }

    /// Command of cargo on some packages.
    pub(super) fn cargo(&self, command: &str, packages: &[&str]) -> Command {
        let mut cargo = process::program_of_cargo(CARGO);
        cargo.args([command, "--quiet", "--locked", "--target", TARGET, "-Zbuild-std=std,panic_unwind,test"]);
        cargo.args(packages.iter().flat_map(|package| ["--package", package]));
        for name in FOREIGN {
            cargo.env_remove(name);
        }
        cargo
            .env("RUSTC", RUSTC)
            // A distribution's compiler takes unstable flags only with this variable.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &self.directory)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        cargo
    }

    /// Directory of the programs.
    pub(super) fn output(&self) -> PathBuf {
        self.directory.join(TARGET).join("debug")
    }
}
