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
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("saved stdin as script") && told.contains("output: graywave logs"), "{told}");
    assert_eq!(operator.good(&["logs", "desktop-0001"]), "from a pipe\n");
    // A warning, not an error: the line endings may be intended.
    let output = operator.output(&["run", script.to_str().unwrap(), "--desktop", "desktop-0001"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("patch.sh has Windows line endings"), "{told}");
    let output = operator.shell(&format!(
        "printf 'desktop-0001\\ndesktop-0002\\n' | {binary} run --desktops-file - --quiet -- true"
    ));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(operator.json(&["show", "latest"])["target_count"], 2);
}
