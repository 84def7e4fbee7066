use super::*;

#[track_caller]
fn check_shell(content: &str, program: &str, args: &[&str]) {
    let found = shell(content).unwrap();
    assert_eq!(
        (found.path.as_str(), found.args),
        (program, args.iter().map(|&arg| arg.to_owned()).collect())
    );
}

#[test]
fn shebang_line_gives_interpreter_and_at_most_one_argument() {
    check_shell("", "/bin/sh", &[]);
    check_shell("echo 1", "/bin/sh", &[]);
    check_shell("\n#!/bin/cat", "/bin/sh", &[]);
    check_shell("#!\necho 1", "/bin/sh", &[]);
    check_shell("#!/bin/cat", "/bin/cat", &[]);
    check_shell("#! /bin/sh\t-e  \r\necho 1", "/bin/sh", &["-e"]);
    check_shell("#!/usr/bin/env -S sh -e\n", "/usr/bin/env", &["-S sh -e"]);
}

#[test]
fn an_interpreter_that_cannot_run_is_a_reason() {
    let reason = |content: &str| shell(content).unwrap_err();
    assert_eq!(reason("#!/no/such x"), "the interpreter \"/no/such\" is not installed");
    assert_eq!(reason("#!/etc/passwd"), "the interpreter \"/etc/passwd\" is not installed");
    assert_eq!(reason("#!/bin"), "the interpreter \"/bin\" is not installed");
    assert_eq!(reason("#!sh"), "the interpreter \"sh\" is not an absolute path");
}

#[test]
fn powershell_is_looked_for_on_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("/no/such:{}", dir.path().display());
    assert_eq!(powershell_on(None, &path).unwrap_err(), "PowerShell is not installed");
    assert_eq!(powershell_on(None, "").unwrap_err(), "PowerShell is not installed");
    for name in ["powershell", "pwsh"] {
        let program = dir.path().join(name);
        fs::write(&program, "").unwrap();
        assert_ne!(
            powershell_on(None, &path).map(|found| found.path),
            Ok(program.display().to_string()),
            "not executable"
        );
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let found = powershell_on(None, &path).unwrap();
        assert_eq!(found.path, program.display().to_string());
        assert_eq!(found.args.last().map(String::as_str), Some("-File"));
    }
}

#[test]
fn configured_powershell_must_be_installed() {
    let reason = powershell(Some(Path::new("/no/such/pwsh"))).unwrap_err();
    assert_eq!(reason, "PowerShell is not installed as /no/such/pwsh");
    assert_eq!(powershell(Some(Path::new("/bin/sh"))).unwrap().path, "/bin/sh");
}

#[test]
fn batch_files_are_refused() {
    assert_eq!(batch("script.bat").unwrap_err(), "BAT scripts run only on Windows");
}
