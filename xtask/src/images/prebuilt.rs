//! Images of programs that this machine has already built. The compiling stages of
//! deploy/Dockerfile are left out, which saves minutes; its other stages are used as they are.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, bail};

use super::{IMAGES, context, engine::Engine, provide, tag};
use crate::{dependencies, process, root, say};

/// Programs of the images, as Cargo names them.
const PROGRAMS: [&str; 3] = ["graywave", "graywave-agent", "graywave-runner"];
/// Where the compiling stages of deploy/Dockerfile begin, and the stage behind them.
const FIRST_COMPILING_STAGE: &str = "FROM ${RUST} AS chef\n";
const FIRST_OTHER_STAGE: &str = "FROM ${DEBIAN} AS runtime\n";

/// Builds both images from the programs of [`process::build`].
///
/// # Errors
///
/// Fails if a source file of a program is missing from the build context, because `docker build`
/// would fail without it, and if the programs do not start on the images' Debian.
pub(crate) fn build(engine: &Engine) -> anyhow::Result<()> {
    provide(engine, &["debian:bookworm-slim"])?;
    context::check(engine, &PROGRAMS)?;
    let directory = tempfile::tempdir_in(super::engine::fast_directory())?;
    for program in PROGRAMS {
        strip(&testkit::binary(program)?, &directory.path().join(program))?;
    }
    dependencies::write_sbom(directory.path())?;
    let dockerfile = fs::read_to_string(root().join("deploy/Dockerfile"))?;
    fs::write(directory.path().join("Dockerfile"), without_compiling(&dockerfile)?)?;
    for (target, name) in IMAGES {
        say(&format!("-- making the image {name} of programs that are built already"));
        let mut build = engine.docker(&["build", "--quiet", "--target", target, "--tag", &tag(name)]);
        process::output(build.arg(directory.path()))?;
        let mut start = engine.docker(&["run", "--rm", &tag(name), "--version"]);
        if !start.stdout(Stdio::null()).status()?.success() {
            bail!("{name} does not start in its image: `cargo xtask images` compiles it there");
        }
    }
    Ok(())
}

/// Copies a program without its symbols, which are most of its size.
fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut strip = std::process::Command::new("strip");
    process::run(strip.arg("-o").arg(to).arg(from))
}

/// The Dockerfile with programs from the build context in place of its compiling stages.
fn without_compiling(dockerfile: &str) -> anyhow::Result<String> {
    let (head, rest) =
        dockerfile.split_once(FIRST_COMPILING_STAGE).context("deploy/Dockerfile has no stage chef")?;
    let (_, tail) = rest.split_once(FIRST_OTHER_STAGE).context("deploy/Dockerfile has no stage runtime")?;
    let tail = tail.replace("COPY --from=build /out/", "COPY ");
    Ok(format!("{head}{FIRST_OTHER_STAGE}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfile_without_compiling_copies_programs() {
        let dockerfile = fs::read_to_string(root().join("deploy/Dockerfile")).unwrap();
        let text = without_compiling(&dockerfile).unwrap();
        assert!(text.contains("COPY graywave-agent /usr/local/bin/graywave-agent\n"), "{text}");
        assert!(text.contains("COPY graywave /usr/local/bin/graywave\n"), "{text}");
        let mut instructions = text.lines().filter(|line| !line.starts_with('#'));
        assert!(!instructions.any(|line| line.contains("cargo") || line.contains("--from")), "{text}");
    }
}
