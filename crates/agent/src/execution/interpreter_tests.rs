use super::*;

fn script(script_type: &str, content: &str) -> Script {
    Script { script_type: script_type.into(), content: content.into(), ..Script::default() }
}

#[test]
fn unknown_type_is_refused() {
    assert_eq!(of(&script("PERL", ""), None).unwrap_err(), "unknown script type \"PERL\"");
}

#[test]
fn batch_file_has_the_line_ends_of_windows() {
    assert_eq!(
        with_windows_line_ends("\u{feff}@echo off\necho 1\r\n\r\n:a"),
        b"@echo off\r\necho 1\r\n\r\n:a"
    );
}

#[test]
fn script_of_powershell_stays_untouched_behind_its_mark() {
    let marked = "\u{feff}param($a)\n'grün'";
    assert_eq!(with_byte_order_mark("param($a)\n'grün'"), marked.as_bytes());
    assert_eq!(with_byte_order_mark(marked), marked.as_bytes());
}

#[test]
fn powershell_starts_the_file_beside_its_script() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join(if cfg!(windows) { "pwsh.exe" } else { "pwsh" });
    let wanted = format!("PowerShell is not installed as {}", program.display());
    assert_eq!(of(&script("POWERSHELL", ""), Some(&program)).unwrap_err(), wanted);
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let found = of(&script("POWERSHELL", "1"), Some(&program)).unwrap();
    assert_eq!(found.program.path, program.display().to_string());
    assert_eq!(found.program.args.last().map(String::as_str), Some("-File"));
    let names: Vec<&str> = found.files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["start.ps1", "script.ps1"]);
    let start = String::from_utf8(found.files[0].1.clone()).unwrap();
    assert!(start.is_ascii() && start.contains(names[1]), "{start}");
}
