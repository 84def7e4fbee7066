//! Guards of a run: added thresholds, questions, guardrails of the project and reasons.

use serde_json::{Value, json};

use super::operator::Operator;

impl Operator {
    /// Saves the cluster as the current context, which asks above three desktops.
    fn asks_above_three(&self) {
        let (grpc, token) = (self.text("grpc"), self.text("token"));
        self.good(&["login", "--grpc", grpc, "--token", token]);
        self.good(&["config", "confirm-above", "3"]);
    }
}

#[test]
fn many_desktops_in_one_wave_need_yes_without_a_terminal() {
    let operator = Operator::new();
    let run = ["run", "--detach", "--all", "--", "true"];
    assert!(operator.output(&run).status.success(), "20 is the default");
    operator.asks_above_three();
    assert_eq!(operator.json(&["config", "show"])["confirm_above"], 3);
    let refused = operator.output(&run);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(2), true), "{said}");
    assert!(said.contains("6 desktops would start at once") && said.contains("--yes"), "{said}");
    assert_eq!(operator.json(&["ls"]).as_array().unwrap().len(), 1, "nothing was run");
    for good in [
        &["run", "--detach", "-y", "-o", "json", "--all", "--", "true"][..],
        &["run", "--detach", "-o", "json", "--canary", "2", "--all", "--", "true"],
        &["run", "--detach", "-o", "json", "--desktop=desktop-0001,desktop-0002", "--", "true"],
    ] {
        let output = operator.output(good);
        let task: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(task["task_id"].is_string() && output.status.success(), "{good:?}");
    }
}

#[test]
fn waves_without_a_threshold_get_one_unless_refused() {
    let operator = Operator::new();
    let waves = |arguments: &[&str]| {
        let all = [&["run", "--detach", "-o", "json"][..], arguments, &["--all", "--", "true"]].concat();
        let output = operator.output(&all);
        let said = String::from_utf8(output.stderr).unwrap();
        let task: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        let waves = task["waves"].as_array().unwrap();
        (waves.iter().map(|wave| wave["fail_threshold"].clone()).collect::<Vec<_>>(), said)
    };
    let (guarded, said) = waves(&["--canary", "2", "--fail-threshold", "1"]);
    assert_eq!(guarded, [json!("1"), json!("5%/4")]);
    assert!(said.contains("wave 2: halts at 1 failure of 4 (5%, at its end)\n"), "{said}");
    assert!(!said.contains("warning:"), "{said}");
    let (plain, said) = waves(&["--canary", "2", "--no-guard"]);
    assert_eq!(plain, [json!("1"), json!("")]);
    assert!(said.contains("warning: wave 2: no failure threshold"), "{said}");
    let (explicit, said) = waves(&["--waves", "1:1,2:2,rest:9%/2"]);
    assert_eq!(explicit, [json!("1"), json!("2"), json!("9%/2")]);
    assert!(!said.contains("halts at"), "{said}");
    let (total, _) = waves(&["--canary", "2", "--total-fail-threshold", "3"]);
    assert_eq!(total, [json!("1"), json!("")]);
    let preview = operator.good(&["preview", "--canary", "2", "--all", "-o", "json", "--", "true"]);
    let plan: Value = serde_json::from_str(&preview).unwrap();
    assert_eq!(plan["waves"][1]["fail_threshold"], "5%/4");
}

#[test]
fn guardrail_refuses_a_run_and_names_the_flag() {
    let operator = Operator::new();
    let shown = operator.good(&["limits", "--require-canary-above", "2", "--require-reason", "true"]);
    assert!(shown.contains("guardrails:  require_canary_above 2, require_reason"), "{shown}");
    let refused = |arguments: &[&str]| {
        let output = operator.output(&[arguments, &["--all", "--", "true"]].concat());
        assert_eq!(output.status.code(), Some(5));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&["run"]);
    assert!(said.contains("--reason: the guardrail require_reason"), "{said}");
    let why = ["--reason", "fix it", "--ticket", "OPS-7"];
    for command in ["run", "preview"] {
        let said = refused(&[&[command][..], &why].concat());
        assert!(said.contains("--canary: the first wave has 6 desktops"), "{said}");
        assert!(said.contains("docs/errors.md#CANARY_REQUIRED"), "{said}");
    }
    let run = [&["--canary", "2"][..], &why, &["--all", "--", "true"]].concat();
    let task = operator.task(&run);
    let shown = operator.good(&["show", &task]);
    assert!(shown.contains("why:        fix it (OPS-7)"), "{shown}");
    operator.ended(&task);
    assert_eq!(operator.good(&["ls", "--ticket", "OPS-7", "-o", "name"]).trim(), task);
    assert_eq!(operator.good(&["ls", "--reason", "nothing", "-o", "name"]), "");
    assert!(operator.good(&["explain", &task]).contains("fix it (OPS-7)"));
    let entries = operator.json(&["audit", "--action", "workspace:scripts:execute"]);
    let done = entries.as_array().unwrap().iter().find(|entry| entry["result"] == "DONE").unwrap();
    assert!(done["details"].to_string().contains("OPS-7"), "{done}");
    operator.good(&["limits", "--require-canary-above", "off", "--require-reason", "false"]);
    assert!(operator.good(&["limits"]).contains("guardrails:  none"));
    let control = operator.output(&["freeze", "--reason", "red \u{1b}[31m text"]);
    assert_eq!(control.status.code(), Some(2), "a reason has no control characters");
}

#[test]
fn guardrail_for_thresholds_accepts_the_added_ones() {
    let operator = Operator::new();
    operator.good(&["limits", "--require-threshold", "true"]);
    let run = ["--canary", "2", "--fail-threshold", "1", "--all", "--", "true"];
    let task = operator.task(&run);
    operator.ended(&task);
    operator.good(&[&["preview"][..], &run].concat());
    let refused = operator.output(&[&["run", "--no-guard"][..], &run].concat());
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("THRESHOLD_REQUIRED"));
}

#[test]
fn retry_of_many_desktops_in_one_wave_needs_yes() {
    let operator = Operator::new();
    let task = operator.task(&["--all", "--", "false"]);
    operator.ended(&task);
    operator.asks_above_three();
    let refused = operator.output(&["retry", "--detach", &task]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("6 desktops would start at once"), "{said}");
    operator.good(&["retry", "--detach", "--yes", &task]);
}
