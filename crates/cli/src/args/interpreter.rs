//! Script files of interpreters other than a shell: they need a first line that names theirs.

use std::path::Path;

use domain::script::{ScriptType, executable};
use proto::admin;

use crate::Error;

/// File extensions of programs that no shell reads, each with the line that names its interpreter.
const FIRST_LINES: [(&[&str], &str); 16] = [
    (&["py", "pyw", "py3"], "#!/usr/bin/env python3"),
    (&["rb"], "#!/usr/bin/env ruby"),
    (&["pl", "pm"], "#!/usr/bin/env perl"),
    (&["js", "mjs", "cjs"], "#!/usr/bin/env node"),
    (&["ts", "mts", "cts"], "#!/usr/bin/env -S deno run"),
    (&["php"], "#!/usr/bin/env php"),
    (&["lua"], "#!/usr/bin/env lua"),
    (&["tcl"], "#!/usr/bin/env tclsh"),
    (&["awk"], "#!/usr/bin/awk -f"),
    (&["r"], "#!/usr/bin/env Rscript"),
    (&["jl"], "#!/usr/bin/env julia"),
    (&["groovy"], "#!/usr/bin/env groovy"),
    (&["exs"], "#!/usr/bin/env elixir"),
    (&["fish"], "#!/usr/bin/env fish"),
    (&["csh"], "#!/bin/csh"),
    (&["tcsh"], "#!/bin/tcsh"),
];

/// Converts a script type of the admin service to the one of the rules.
pub(super) const fn of_rules(kind: admin::ScriptType) -> ScriptType {
    match kind {
        admin::ScriptType::Powershell => ScriptType::Powershell,
        admin::ScriptType::Bat => ScriptType::Bat,
        admin::ScriptType::Shell | admin::ScriptType::Unspecified => ScriptType::Shell,
    }
}

/// Refuses a SHELL script without a `#!` line whose file name says that no shell reads it. Its
/// lines would run as commands of sh.
pub(crate) fn check(path: &Path, kind: ScriptType, content: &str) -> Result<(), Error> {
    let Some(line) = first_line(path).filter(|_| kind == ScriptType::Shell) else { return Ok(()) };
    if executable(kind, content).starts_with("#!") {
        return Ok(());
    }
    let name = path.display();
    Err(Error::misused(format!("cannot run {name} with sh: its first line names no interpreter"))
        .try_next(format!("add a line {line} at the start of {name}")))
}

/// Returns the first line that a file of this name needs; `None` for shells and unknown extensions.
fn first_line(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_string_lossy().to_lowercase();
    let (_, line) = FIRST_LINES.iter().find(|(extensions, _)| extensions.contains(&extension.as_str()))?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, kind: ScriptType, content: &str) -> Result<(), String> {
        check(Path::new(name), kind, content).map_err(|error| error.to_string())
    }

    #[test]
    fn file_of_another_interpreter_without_shebang_is_refused() {
        for (name, line) in [
            ("x.py", "#!/usr/bin/env python3"),
            ("dir.sh/X.PY", "#!/usr/bin/env python3"),
            ("a.rb", "#!/usr/bin/env ruby"),
            ("a.sh.pl", "#!/usr/bin/env perl"),
            ("a.mjs", "#!/usr/bin/env node"),
            ("a.fish", "#!/usr/bin/env fish"),
        ] {
            let message = checked(name, ScriptType::Shell, "print(1)\n").unwrap_err();
            assert!(message.contains(&format!("add a line {line} at the start of {name}")), "{message}");
        }
        assert!(checked("x.py", ScriptType::Shell, "# comment\n#!/usr/bin/env python3\n").is_err());
    }

    #[test]
    fn shebang_counts_after_a_byte_order_mark() {
        for content in ["#!/usr/bin/env python3\n", "\u{feff}#!/usr/bin/python3\r\nx\r\n"] {
            assert_eq!(checked("x.py", ScriptType::Shell, content), Ok(()));
        }
    }

    #[test]
    fn shells_and_unknown_extensions_are_run_by_sh() {
        for name in ["a.sh", "a.bash", "a.ksh", "a", "-", "release-1.2", "patch.2026", ".py", "a.txt"] {
            assert_eq!(checked(name, ScriptType::Shell, "true\n"), Ok(()), "{name}");
        }
        assert_eq!(checked("x.py", ScriptType::Powershell, "true\n"), Ok(()));
    }
}
