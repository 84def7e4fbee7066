//! Output formats of lists, and text that cannot control the terminal.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::operator::{Operator, SEED, settings};

const FORMS: [&str; 5] = ["table", "wide", "json", "yaml", "name"];

#[test]
fn list_has_every_output_format() {
    let operator = Operator::new();
    let _guard = settings().bind_to_scope();
    let script = operator.path("patch.sh");
    fs::write(&script, "echo patched\ncase $GRAYWAVE_DESKTOP_ID in *2) exit 3;; esac\n").unwrap();
    let script = script.to_str().unwrap();
    let run =
        ["run", script, "--canary-desktop=desktop-0002", "--canary=2", SEED, "--fail-threshold=1", "--all"];
    let halted = operator.output(&run);
    assert_eq!(halted.status.code(), Some(3), "{}", String::from_utf8_lossy(&halted.stderr));
    let out = String::from_utf8(halted.stdout).unwrap();
    assert!(out.contains("status:     HALTED") && out.contains("1 of 2 targets failed"), "{out}");
    let err = String::from_utf8(halted.stderr).unwrap();
    assert!(err.contains("wave 1: halted") && err.contains("graywave failures "), "{err}");
    // The same content is stored as the same script.
    operator.task(&[script, "--desktop", "desktop-0001"]);
    assert_eq!(operator.good(&["scripts", "-o", "name"]).lines().count(), 1);
    let task_id = operator.good(&["ls", "--status", "HALTED", "-o", "name"]).trim().to_owned();
    let script_id = operator.good(&["scripts", "-o", "name"]).trim().to_owned();
    operator.ended(operator.good(&["ls", "--limit", "1", "-o", "name"]).trim());

    let lists: [(&str, Vec<&str>); 8] = [
        ("ls", vec!["ls", "--status", "HALTED"]),
        ("desktops", vec!["desktops", "--limit", "2"]),
        ("workers", vec!["workers"]),
        ("records", vec!["records", &task_id, "--status", "FAILED"]),
        ("failures", vec!["failures", &task_id]),
        ("scripts", vec!["scripts"]),
        ("revisions", vec!["scripts", "revisions", &script_id]),
        ("audit", vec!["audit", "--action", "workspace:scripts:create"]),
    ];
    for (name, arguments) in lists {
        for form in FORMS {
            let text = operator.good(&[&arguments[..], &["-o", form]].concat());
            if form == "json" {
                let parsed: Value = serde_json::from_str(&text).unwrap();
                assert!(parsed.is_array(), "{name}: {text}");
            }
            assert_snapshot!(format!("{name}_{form}"), text);
        }
    }
    for form in ["table", "wide", "name"] {
        let text = operator.good(&["show", &task_id, "-o", form]);
        assert_snapshot!(format!("show_{form}"), text);
    }
    assert_eq!(operator.json(&["show", &task_id])["status"], "HALTED");
    assert_snapshot!("explain", operator.good(&["explain", &task_id, "desktop-0002"]));
    assert_snapshot!("script", operator.good(&["scripts", "show", &script_id]));
    assert_snapshot!("desktop", operator.good(&["desktops", "show", "desktop-0002"]));
    assert_eq!(
        operator.good(&["scripts", "show", &script_id, "--content"]),
        fs::read_to_string(script).unwrap()
    );
    let logs = operator.good(&["logs", "desktop-0002", "--task", &task_id]);
    assert_eq!(logs, "patched\n");
    let plan = ["preview", "--waves=1,50%:1,rest:20%/2", SEED, "--all", "--", "true"];
    assert_snapshot!("preview", operator.good(&plan));
    let plan = ["preview", "--waves=1,rest", SEED, "--all", "--with-desktops", "-o=json", "--", "true"];
    let plan: Value = serde_json::from_str(&operator.good(&plan)).unwrap();
    assert_eq!(plan["waves"][1]["desktop_ids"].as_array().unwrap().len(), 5);
}

#[test]
fn text_of_desktops_cannot_control_the_terminal() {
    let operator = Operator::new();
    let evil = "echo \u{1b}[31mX\u{1b}]0;pwn\u{7} \u{202e}txt";
    let task = operator.task(&["--desktop", "desktop-0001", "--", evil]);
    operator.ended(&task);
    operator.good(&["desktops", "tag", "desktop-0001", "evil=\u{202e}x"]);
    assert_eq!(operator.output(&["freeze", "--reason", evil]).status.code(), Some(2));
    for command in [
        &["show", &task][..],
        &["show", &task, "-o", "wide"],
        &["ls", "-o", "wide"],
        &["limits"],
        &["desktops", "show", "desktop-0001"],
        &["desktops", "-o", "wide"],
        &["logs", "desktop-0001"],
        &["explain", &task],
    ] {
        let shown = operator.good(command);
        let bad = shown.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{command:?}: {shown:?}");
    }
}
