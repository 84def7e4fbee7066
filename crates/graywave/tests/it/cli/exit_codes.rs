//! Exit codes of a followed rollout.

use super::operator::Operator;

#[test]
fn exit_code_is_kept_when_output_is_closed() {
    let operator = Operator::new();
    let line = |rest: &str| {
        let run = format!("{} run --canary 2 --all -- 'exit 1'", env!("CARGO_BIN_EXE_graywave"));
        let output = operator.shell(&format!("({run}; echo ended with $? >&3) 3>&1 {rest}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // A full disk is a local error.
    for (nobody, code) in [
        (">/dev/null 2>&1", 3),
        (">/dev/full 2>/dev/null", 1),
        (">&- 2>/dev/null", 3),
        ("2>/dev/full >/dev/null", 3),
        ("2>&- >/dev/null", 3),
    ] {
        assert_eq!(line(nobody).trim(), format!("ended with {code}"), "{nobody}");
    }
    let piped = format!(
        "{{ {} run --canary 2 --all -- 'exit 1'; echo ended with $? >&2; }} | true",
        env!("CARGO_BIN_EXE_graywave")
    );
    let output = operator.shell(&piped);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ended with 3"), "{output:?}");
}
