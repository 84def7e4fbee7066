//! Interpreter of a script, or the reason why it cannot run.

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path};

use proto::types::Script;

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;

/// Program, its arguments before the script's file, and the name that the file must have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) file_name: &'static str,
}

/// Finds the interpreter of the script, by name in these directories; the error is the reason for
/// the rejection.
pub(crate) fn of(script: &Script, path: &str) -> Result<Interpreter, String> {
    match script.script_type.as_str() {
        "SHELL" => shell(&script.content),
        "POWERSHELL" => powershell(path),
        "BAT" => Err("BAT scripts run only on Windows".to_owned()),
        other => Err(format!("unknown script type {other:?}")),
    }
}

/// Interpreter named by the first line, parsed like the kernel does, or `/bin/sh`. The agent does
/// not execute the file itself, because its file system may be mounted noexec.
fn shell(content: &str) -> Result<Interpreter, String> {
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
    Ok(Interpreter { program: program.into(), args, file_name: "script.sh" })
}

fn powershell(path: &str) -> Result<Interpreter, String> {
    let program = ["pwsh", "powershell"]
        .iter()
        .flat_map(|name| env::split_paths(path).map(move |dir| dir.join(name)))
        .find(|program| is_executable(program))
        .and_then(|program| program.into_os_string().into_string().ok())
        .ok_or("PowerShell is not installed")?;
    let args = ["-NoProfile", "-NonInteractive", "-File"].map(str::to_owned).to_vec();
    Ok(Interpreter { program, args, file_name: "script.ps1" })
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
