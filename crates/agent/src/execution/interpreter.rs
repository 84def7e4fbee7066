//! Files of a script, and the program that runs them, or the reason why it cannot run.

use std::path::Path;

use proto::types::Script;

use crate::platform::{self, Program};

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;

/// Byte order mark, without which Windows PowerShell reads a file in the code page of the machine.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Starts the script of PowerShell beside it. Output is UTF-8, and the script's own text stays
/// untouched: a prologue in it would break `param` and `using`. An uncaught error ends this file
/// too, with code 1.
const POWERSHELL_START: &str = "\
try { [Console]::OutputEncoding = $OutputEncoding = New-Object System.Text.UTF8Encoding $false } catch { }
$global:LASTEXITCODE = 0
& (Join-Path $PSScriptRoot 'script.ps1')
exit $LASTEXITCODE
";

/// Files of a script, and the program that runs them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) program: Program,
    /// Files of the working directory with their names; the program runs the first one.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
}

/// Finds the interpreter of the script; the error is the reason for the rejection. `powershell` is
/// the configured one.
pub(crate) fn of(script: &Script, powershell: Option<&Path>) -> Result<Interpreter, String> {
    let content = script.content.as_str();
    match script.script_type.as_str() {
        "SHELL" => Ok(Interpreter {
            program: platform::shell(content)?,
            files: vec![("script.sh", content.as_bytes().to_vec())],
        }),
        "POWERSHELL" => Ok(Interpreter {
            program: platform::powershell(powershell)?,
            files: vec![
                ("start.ps1", POWERSHELL_START.as_bytes().to_vec()),
                ("script.ps1", with_byte_order_mark(content)),
            ],
        }),
        "BAT" => Ok(Interpreter {
            program: platform::batch("script.bat")?,
            files: vec![("script.bat", with_windows_line_ends(content))],
        }),
        other => Err(format!("unknown script type {other:?}")),
    }
}

fn with_byte_order_mark(content: &str) -> Vec<u8> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    [BYTE_ORDER_MARK, content].concat().into_bytes()
}

/// Text of a batch file: its interpreter fails to find labels in a file with other line ends, and
/// takes a byte order mark for a part of the first command.
fn with_windows_line_ends(content: &str) -> Vec<u8> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    content.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}
