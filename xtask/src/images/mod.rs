//! `cargo xtask images`: builds the images of deploy/Dockerfile, on stand-ins if public base images
//! cannot be pulled.

mod context;
pub(crate) mod engine;
pub(crate) mod prebuilt;
mod standin;

use std::process::Command;

pub(crate) use standin::provide;

use crate::{process, root, say};
use engine::Engine;

/// Registry of the published images.
const REGISTRY: &str = "ghcr.io/graywave";
/// Targets of deploy/Dockerfile and the names of their images.
const IMAGES: [(&str, &str); 2] = [("graywave", "graywave"), ("agent", "graywave-agent")];

/// Builds both images with a Cargo profile.
pub(crate) fn run(profile: &str) -> anyhow::Result<()> {
    let engine = Engine::at_hand()?;
    build(&engine, profile)?;
    for (_, name) in IMAGES {
        say(&format!("== {}", tag(name)));
    }
    Ok(())
}

/// An image of the version that is built here.
fn tag(name: &str) -> String {
    format!("{REGISTRY}/{name}:{}", version())
}

/// The version of this workspace.
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Builds both images on an engine; unchanged layers come from its cache.
pub(crate) fn build(engine: &Engine, profile: &str) -> anyhow::Result<()> {
    provide(engine, &["debian:bookworm-slim", "rust:1.95-bookworm"])?;
    for (target, name) in IMAGES {
        say(&format!("-- building the image {name}, profile {profile}"));
        let mut build =
            engine.docker(&["build", "--quiet", "--file", "deploy/Dockerfile", "--target", target]);
        build.args(["--build-arg", &format!("PROFILE={profile}")]);
        build.args(["--build-arg", &format!("VERSION={}", version())]);
        build.args(["--build-arg", &format!("REVISION={}", revision())]);
        build.args(["--tag", &tag(name), "."]);
        process::output(build.current_dir(root()))?;
    }
    Ok(())
}

/// Commit hash for the label; unknown outside a repository.
fn revision() -> String {
    let head = process::output(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root()));
    head.map_or_else(|_| "unknown".into(), |commit| commit.trim().to_owned())
}
