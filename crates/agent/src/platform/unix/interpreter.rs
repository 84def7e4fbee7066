//! Interpreters of scripts, or the reason why they cannot run.

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::environment::PATH;
use crate::platform::Program;

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;

/// Names of PowerShell, in the order of preference.
const POWERSHELLS: [&str; 2] = ["pwsh", "powershell"];

/// Interpreter named by the first line, parsed like the kernel does, or `/bin/sh`. The agent does
/// not execute the file itself, because its file system may be mounted noexec.
pub(crate) fn shell(content: &str) -> Result<Program, String> {
    let named = content.lines().next().and_then(|line| line.strip_prefix("#!")).map_or("", str::trim);
    let (program, argument) = named.split_once([' ', '\t']).unwrap_or((named, ""));
    let program = if program.is_empty() { "/bin/sh" } else { program };
    if !program.starts_with('/') {
        return Err(format!("the interpreter {program:?} is not an absolute path"));
    }
    if !is_executable(Path::new(program)) {
        return Err(format!("the interpreter {program:?} is not installed"));
    }
    let argument = argument.trim_start();
    let args = if argument.is_empty() { Vec::new() } else { vec![argument.to_owned()] };
    Ok(Program { path: program.into(), args, raw_args: None })
}

/// PowerShell: the configured one, or the first one in the directories of PATH.
pub(crate) fn powershell(configured: Option<&Path>) -> Result<Program, String> {
    powershell_on(configured, PATH)
}

fn powershell_on(configured: Option<&Path>, path: &str) -> Result<Program, String> {
    let found = match configured {
        Some(program) if is_executable(program) => Some(program.to_owned()),
        Some(program) => return Err(format!("PowerShell is not installed as {}", program.display())),
        None => POWERSHELLS
            .iter()
            .flat_map(|name| env::split_paths(path).map(move |dir| dir.join(name)))
            .find(|program| is_executable(program)),
    };
    let path = found
        .and_then(|program| program.into_os_string().into_string().ok())
        .ok_or("PowerShell is not installed")?;
    let args = ["-NoLogo", "-NoProfile", "-NonInteractive", "-File"].map(str::to_owned).to_vec();
    Ok(Program { path, args, raw_args: None })
}

/// No interpreter.
pub(crate) fn batch(_file_name: &str) -> Result<Program, String> {
    Err("BAT scripts run only on Windows".to_owned())
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
