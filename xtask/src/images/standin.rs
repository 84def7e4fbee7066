//! Public base images, and stand-ins of the same names if no registry is reachable. Stand-ins
//! consist of Debian packages and are used like the originals, so the images built on them are
//! really built and run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::engine::{Engine, has_image};
use crate::{debian, process, say};

/// Base of all stand-ins.
const DEBIAN: &str = "debian:bookworm-slim";
/// Label of a stand-in, which distinguishes it from the original image.
const MARK: &str = "dev.graywave.stand-in";

/// Recipe of a stand-in.
enum Recipe {
    Debootstrap,
    /// The toolchain of this machine, which built this program.
    Toolchain,
    /// A directory of deploy/standins.
    Directory(&'static str),
}

fn recipe(image: &str) -> anyhow::Result<Recipe> {
    Ok(match image {
        DEBIAN => Recipe::Debootstrap,
        "rust:1.95-bookworm" => Recipe::Toolchain,
        "postgres:15-bookworm" => Recipe::Directory("postgres"),
        "haproxy:2.6-bookworm" => Recipe::Directory("haproxy"),
        "prom/prometheus:v2.42.0" => Recipe::Directory("prometheus"),
        _ => bail!("{image} cannot be pulled here and has no stand-in"),
    })
}

/// Ensures that the engine has these images: present, pulled, or built as a stand-in.
pub(crate) fn provide(engine: &Engine, images: &[&str]) -> anyhow::Result<()> {
    for image in images {
        if has_image(engine, image) || pull(engine, image) {
            continue;
        }
        let recipe = recipe(image)?;
        if !matches!(recipe, Recipe::Debootstrap) {
            provide(engine, &[DEBIAN])?;
        }
        say(&format!("-- {image} cannot be pulled: building a stand-in"));
        match recipe {
            Recipe::Debootstrap => debootstrap(engine, image)?,
            Recipe::Toolchain => toolchain(engine, image)?,
            Recipe::Directory(name) => directory(engine, image, name)?,
        }
    }
    Ok(())
}

fn pull(engine: &Engine, image: &str) -> bool {
    let mut pull = engine.docker(&["pull", "--quiet", image]);
    pull.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Builds a Debian of its essential packages.
fn debootstrap(engine: &Engine, image: &str) -> anyhow::Result<()> {
    let archive = debian::archive()?;
    let label = format!("LABEL {MARK}=true");
    let mut import = engine.docker(&["import", "--change", "CMD [\"bash\"]", "--change", &label]);
    process::output(import.arg(&archive).arg(image)).map(drop)
}

/// Adds the linker from Debian, and the compiler, Cargo and CA certificates of this machine.
fn toolchain(engine: &Engine, image: &str) -> anyhow::Result<()> {
    let context = tempfile::tempdir_in(super::engine::fast_directory())?;
    let toolchain =
        PathBuf::from(process::output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    for part in ["bin", "lib"] {
        copy(&toolchain.join(part), &context.path().join("toolchain").join(part))?;
    }
    fs::copy("/etc/ssl/certs/ca-certificates.crt", context.path().join("ca-certificates.crt"))
        .context("this machine has no /etc/ssl/certs/ca-certificates.crt")?;
    build(engine, image, "rust", context.path())
}

/// Copies a file tree, with hard links where possible.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let mut copy = Command::new("cp");
    process::run(copy.args(["--recursive", "--no-target-directory"]).args([from, to]))
}

fn directory(engine: &Engine, image: &str, name: &str) -> anyhow::Result<()> {
    build(engine, image, name, &crate::root().join("deploy/standins").join(name))
}

fn build(engine: &Engine, image: &str, name: &str, context: &Path) -> anyhow::Result<()> {
    let file = crate::root().join("deploy/standins").join(name).join("Dockerfile");
    let mut build =
        engine.docker(&["build", "--quiet", "--label", &format!("{MARK}=true"), "--tag", image, "--file"]);
    process::output(build.arg(file).arg(context)).map(drop)
}
