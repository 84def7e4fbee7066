//! Starts other programs and names the program in each error.

use std::{ffi::OsStr, process::Command};

use anyhow::{Context as _, bail};

/// Prefixes of the variables that `cargo run` and `cargo test` set for one package.
///
/// ring's build script, for example, runs again when `CARGO_MANIFEST_DIR` or a `CARGO_PKG_*`
/// variable changes. If the variables of xtask reached an inner cargo, that cargo and a plain
/// `cargo build` would rebuild ring and its dependents in turn. `LD_LIBRARY_PATH` stays: cargo sets
/// it again for every process, and no build script depends on it.
const PACKAGE_VARIABLES: [&str; 7] = [
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
];

fn is_of_a_package(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| PACKAGE_VARIABLES.iter().any(|start| name.starts_with(start)))
}

/// Cargo of this process, in the top directory of the workspace and with the environment of a
/// terminal.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = program_of_cargo(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Another cargo, under the same conditions.
pub(crate) fn program_of_cargo(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(crate::root());
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_a_package(name)) {
        command.env_remove(name);
    }
    command
}

/// Builds all programs of the workspace, as every step does. Building one package alone selects
/// other features of shared dependencies and compiles them again.
pub(crate) fn build() -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"]))
}

/// Command of a program that [`build`] built, in the top directory of the workspace.
pub(crate) fn built(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(testkit::binary(name)?);
    command.current_dir(crate::root());
    Ok(command)
}

/// Runs a program and waits for its end. Fails unless the program succeeds.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {line}"))?;
    if !status.success() {
        bail!("{line} failed: {status}");
    }
    Ok(())
}

/// Runs a program, waits for its end and returns its standard output, which must be UTF-8.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {line}"))?;
    if !output.status.success() {
        bail!("{line} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(command: &Command) -> Vec<&str> {
        command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .filter_map(|(name, _)| name.to_str())
            .collect()
    }

    /// Relies on cargo, which sets these variables for the test itself.
    #[test]
    fn inner_cargo_gets_no_variable_of_this_package() {
        let ours: Vec<String> = std::env::vars()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            .collect();
        assert!(ours.iter().any(|name| name == "CARGO_MANIFEST_DIR"), "{ours:?}");
        let command = cargo(&["build"]);
        let removed = removed(&command);
        for name in ours {
            assert!(removed.contains(&name.as_str()), "{name} reaches the inner cargo");
        }
    }

    #[test]
    fn inner_cargo_keeps_the_settings_of_cargo() {
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "RUSTFLAGS", "PATH"] {
            assert!(!is_of_a_package(OsStr::new(name)), "{name}");
        }
    }
}
