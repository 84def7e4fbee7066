//! Interpreters of scripts, or the reason why they cannot run.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::platform::Program;

/// Directory of Windows if the variable is missing.
const DEFAULT_ROOT: &str = r"C:\Windows";
/// Windows PowerShell, below a directory of system programs.
const POWERSHELL: &str = r"WindowsPowerShell\v1.0\powershell.exe";

/// No interpreter.
pub(crate) fn shell(_content: &str) -> Result<Program, String> {
    Err("SHELL scripts do not run on Windows".to_owned())
}

/// PowerShell: the configured one, or that of Windows in its 64-bit form.
pub(crate) fn powershell(configured: Option<&Path>) -> Result<Program, String> {
    let program = configured.map_or_else(|| system_program(POWERSHELL), Path::to_owned);
    if !program.is_file() {
        return Err(format!("PowerShell is not installed as {}", program.display()));
    }
    let args = ["-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"];
    Ok(Program { path: text(&program)?, args: args.map(str::to_owned).to_vec(), raw_args: None })
}

/// Command interpreter, without its registry commands (`/d`), on the UTF-8 code page.
pub(crate) fn batch(file_name: &str) -> Result<Program, String> {
    let program = system_program("cmd.exe");
    // The working directory has the file: no path is parsed as a part of a command. With `/s` the
    // outer quotes alone are removed.
    let raw_args = format!(r#"/d /s /c "chcp 65001>nul & .\{file_name}""#);
    Ok(Program { path: text(&program)?, args: Vec::new(), raw_args: Some(raw_args) })
}

/// Path of a program of Windows. A 32-bit process sees those of 64 bits under another name.
fn system_program(name: &str) -> PathBuf {
    let root = env::var_os("SystemRoot").unwrap_or_else(|| DEFAULT_ROOT.into());
    let directories = ["Sysnative", "System32"].map(|directory| Path::new(&root).join(directory));
    let [_, default] = &directories;
    let found = directories.iter().map(|directory| directory.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| default.join(name))
}

fn text(program: &Path) -> Result<String, String> {
    program.to_str().map(str::to_owned).ok_or_else(|| format!("{} is no Unicode path", program.display()))
}
