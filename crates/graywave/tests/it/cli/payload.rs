//! Scripts from files and from standard input.

use std::fs;

use super::operator::Operator;

#[test]
fn script_from_stdin_runs_and_preview_saves_nothing() {
    let operator = Operator::new();
    let script = operator.path("patch.sh");
    fs::write(&script, "echo patched\r\n").unwrap();
    let preview = operator.good(&["preview", script.to_str().unwrap(), "--canary", "2", "--all"]);
    assert!(preview.contains("worst case"), "{preview}");
    assert_eq!(operator.good(&["scripts", "-o", "name"]), "", "a preview saves no script");
    let binary = env!("CARGO_BIN_EXE_graywave");
    let output = operator.shell(&format!("echo 'echo from a pipe' | {binary} run - --desktop desktop-0001"));
    assert!(output.status.success(), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("saved stdin as a new script"), "{message}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.starts_with("from a pipe\n"), "{printed}");
    assert_eq!(operator.good(&["logs", "desktop-0001"]), "from a pipe\n");
    // A warning, not an error: the line endings may be intended.
    fs::write(&script, "echo patched\r\necho again\n").unwrap();
    let output = operator.output(&["run", script.to_str().unwrap(), "--desktop", "desktop-0001"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("warning: script \"patch.sh\" has lines that end with CRLF"), "{message}");
    let preview = operator.json(&["preview", script.to_str().unwrap(), "--all"]);
    assert_eq!(preview["warnings"][0]["code"], "MIXED_LINE_ENDS");
    let output = operator.shell(&format!(
        "printf 'desktop-0001\\ndesktop-0002\\n' | {binary} run --desktops-file - --quiet -- true"
    ));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(operator.json(&["show", "latest"])["target_count"], 2);
}

#[test]
fn script_runs_as_its_author_meant_and_stays_as_it_was_sent() {
    let operator = Operator::new();
    let script = operator.path("windows.sh");
    let name = script.to_str().unwrap().to_owned();
    let run = |content: &str| {
        fs::write(&script, content).unwrap();
        operator.output(&["run", &name, "--desktop", "desktop-0001"])
    };
    let probe = operator.path("probe");
    let crlf = format!("\u{feff}printf v1 > {}\r\nexit 0\r\n", probe.display());
    let output = run(&crlf);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(&probe).unwrap(), "v1");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!message.contains("CRLF"), "{message}");
    let script_id = operator.good(&["scripts", "-o", "name"]);
    let shown = operator.good(&["scripts", "show", script_id.trim(), "--content"]);
    assert_eq!(shown, crlf, "stored as it was sent");

    let marked = run("\u{feff}set -e\nfalse\necho done\n");
    assert_eq!(marked.status.code(), Some(1), "{marked:?}");
    let records = operator.json(&["records", "latest"]);
    assert_eq!((&records[0]["outcome"], &records[0]["exit_code"]), (&"FAILED".into(), &1.into()));
}

#[test]
fn program_without_an_interpreter_line_is_refused() {
    let operator = Operator::new();
    let script = operator.path("x.py");
    let name = script.to_str().unwrap();
    fs::write(&script, "print(6 * 7)\n").unwrap();
    for arguments in [
        &["run", name, "--all"][..],
        &["run", name, "--type", "SHELL", "--all"],
        &["preview", name, "--all"],
        &["scripts", "save", name],
    ] {
        let output = operator.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("add a line #!/usr/bin/env python3"), "{message}");
    }
    assert_eq!(operator.good(&["scripts", "-o", "name"]), "", "nothing is saved");
    fs::write(&script, "#!/bin/sh\necho $((6 * 7))\n").unwrap();
    assert!(operator.output(&["run", name, "--desktop", "desktop-0001"]).status.success());
    assert_eq!(operator.good(&["logs", "desktop-0001"]), "42\n");
}

#[test]
fn undeclared_parameter_of_a_file_saves_nothing() {
    let operator = Operator::new();
    let script = operator.path("ring.sh");
    fs::write(&script, "echo ring $GRAYWAVE_PARAM_RING\n").unwrap();
    let script = script.to_str().unwrap();
    let run = ["run", script, "--desktop", "desktop-0001", "--param", "ring=early"];
    for arguments in [&run[..], &[&run[..], &["--dry-run"]].concat()] {
        let refused = operator.output(arguments);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("the saved script ring.sh does not declare this parameter"), "{said}");
    }
    assert_eq!(operator.good(&["scripts", "-o", "name"]), "", "nothing is saved");
    let declared = operator.path("parameters.json");
    fs::write(&declared, r#"[{"name": "ring"}]"#).unwrap();
    operator.good(&["scripts", "save", script, "--parameters", declared.to_str().unwrap()]);
    assert_eq!(operator.good(&run).lines().next(), Some("ring early"));
}
