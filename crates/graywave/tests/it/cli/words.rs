//! Names, short ids, aliases and the access verbs, as an operator types them.

use std::fs;

use super::operator::Operator;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn edited_file_is_a_revision_that_runs_by_name() {
    let operator = Operator::new();
    let script = operator.path("patch.sh");
    let run = |content: &str| {
        fs::write(&script, content).unwrap();
        let output = operator.output(&["run", "-f", script.to_str().unwrap(), "--desktop", "desktop-0001"]);
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr)
    };
    assert!(run("echo one\n").contains("saved patch.sh as a new script "));
    assert!(run("echo two\n").contains("saved patch.sh as revision 2 of your script "));
    assert!(!run("echo two\n").contains("saved patch.sh"), "the content is there");
    let listed = operator.json(&["scripts", "--mine"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["created_by"], "developer");
    let id = listed[0]["script_id"].as_str().unwrap();
    let short = id.get(..12).unwrap();
    assert!(operator.good(&["scripts"]).contains(&format!("\n{short}  ")));
    for name in ["patch.sh", short, id] {
        assert_eq!(operator.json(&["scripts", "show", name])["revision"], 2, "{name}");
    }
    operator.good(&["run", "-q", "--script", "patch.sh@1", "--desktop", "desktop-0002"]);
    assert_eq!(operator.good(&["logs", "desktop-0002"]), "one\n");

    operator.good(&["scripts", "save", script.to_str().unwrap()]);
    let ambiguous = operator.output(&["run", "--script", "patch.sh", "--all"]);
    assert_eq!(ambiguous.status.code(), Some(2), "{ambiguous:?}");
    let message = text(&ambiguous.stderr);
    assert!(message.starts_with("error: \"patch.sh\" matches several scripts\n"), "{message}");
    assert!(message.contains(&format!("  try: {id}: patch.sh@2 by developer, saved ")), "{message}");
}

#[test]
fn task_is_named_by_digits_and_latest_is_the_callers() {
    let operator = Operator::new();
    let none = operator.output(&["show", "latest"]);
    assert_eq!(none.status.code(), Some(5), "{none:?}");
    let task = operator.task(&["--desktop", "desktop-0001", "--", "true"]);
    operator.ended(&task);
    let short = task.get(..12).unwrap();
    assert!(operator.good(&["ls"]).contains(&format!("\n{short}  SUCCESS")));
    assert!(operator.good(&["ls", "-o", "wide"]).contains(&task));
    for name in ["latest", short, &task.to_uppercase()] {
        assert_eq!(operator.json(&["status", name])["task_id"], task.as_str(), "{name}");
    }
    for (wrong, code) in [("nope", 2), ("ffff", 5)] {
        assert_eq!(operator.output(&["show", wrong]).status.code(), Some(code), "{wrong}");
    }

    operator.good(&["principals", "put", "ann", "--policy", "operator"]);
    let token = operator.good(&["tokens", "create", "ann", "--expires", "1h"]);
    let as_ann =
        |arguments: &[&str]| operator.command(arguments).env("GRAYWAVE_TOKEN", token.trim()).output();
    let output = as_ann(&["show", "latest"]).unwrap();
    assert!(text(&output.stderr).contains("you have no tasks in this project yet"), "{output:?}");
    let output = as_ann(&["show", "latest", "--any", "-o", "name"]).unwrap();
    assert_eq!(text(&output.stdout).trim(), task);
    assert_eq!(text(&as_ann(&["ls", "--mine", "-o", "name"]).unwrap().stdout), "");
    assert_eq!(operator.good(&["ls", "--mine", "--since", "1h", "-o", "name"]).trim(), task);
    assert_eq!(operator.good(&["ls", "--since", "2090-01-01T00:00:00Z", "-o", "name"]), "");
    let refused = as_ann(&["tokens", "create", "ann"]).unwrap();
    assert_eq!(refused.status.code(), Some(5), "a policy refuses: {refused:?}");
}

#[test]
fn many_desktops_are_tagged_by_id_file_and_filter() {
    let operator = Operator::new();
    let ids = operator.path("ids.txt");
    fs::write(&ids, "desktop-0003\n# a comment\ndesktop-0004\n").unwrap();
    operator.good(&["desktops", "tag", "desktop-0001", "desktop-0002", "ring=early", "owner=ann"]);
    operator.good(&["desktops", "tag", "--desktops-file", ids.to_str().unwrap(), "ring=late"]);
    let tagged = |tag: &str| operator.good(&["desktops", "--tag", tag, "-o", "name"]).lines().count();
    assert_eq!((tagged("ring=early"), tagged("owner=ann"), tagged("ring=late")), (2, 2, 2));
    let names = operator.good(&["desktops", "tag", "--tag", "ring=early", "ring=late", "-o", "name"]);
    assert_eq!(names, "desktop-0001\ndesktop-0002\n");
    assert_eq!((tagged("ring=early"), tagged("ring=late")), (0, 4));
    let missing = operator.output(&["desktops", "tag", "desktop-0005", "nobody", "a=b"]);
    assert_eq!(missing.status.code(), Some(5), "{missing:?}");
    assert_eq!(tagged("a=b"), 1, "the others are tagged");
    assert_eq!(operator.output(&["desktops", "tag", "a=b"]).status.code(), Some(2));
}

#[test]
fn access_is_managed_with_the_rights_of_the_caller() {
    let operator = Operator::new();
    let policy = operator.path("policy.json");
    let document = r#"{"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["workspace:scripts:*"], "Resource": ["*"]}]}"#;
    fs::write(&policy, document).unwrap();
    operator.good(&["policies", "put", "all", "-f", policy.to_str().unwrap()]);
    assert!(operator.good(&["policies", "show", "all"]).contains("workspace:scripts:*"));
    operator.good(&["principals", "put", "ann", "--policy", "all,reader"]);
    let principals = operator.json(&["principals"]);
    let ann = principals.as_array().unwrap().iter().find(|it| it["principal"] == "ann").unwrap();
    assert_eq!(ann["policies"].as_array().unwrap().len(), 2);
    let in_use = operator.output(&["policies", "rm", "all"]);
    assert_eq!(in_use.status.code(), Some(5), "{in_use:?}");

    let made = operator.json(&["tokens", "create", "ann"]);
    let (secret, id) =
        (made["secret"].as_str().unwrap(), made["token"]["token_id"].as_str().unwrap().to_owned());
    let as_ann = |arguments: &[&str]| operator.command(arguments).env("GRAYWAVE_TOKEN", secret).output();
    assert!(as_ann(&["ls"]).unwrap().status.success());
    operator.good(&["tokens", "revoke", &id]);
    assert_eq!(as_ann(&["ls"]).unwrap().status.code(), Some(5));
    assert!(operator.good(&["tokens"]).contains("revoked "));
    let key = operator.json(&["keys", "create", "ann", "--expires", "never"]);
    operator.good(&["keys", "revoke", key["key"]["access_key"].as_str().unwrap()]);
    assert!(operator.good(&["keys"]).contains("revoked "));
    // `dev` has no certificates, so projects are managed on its database.
    let projects = operator.output(&["projects", "ls", "-o", "json"]);
    assert_eq!(projects.status.code(), Some(5), "{projects:?}");
    assert!(text(&projects.stderr).contains("graywave admin projects ls"), "{projects:?}");
}

#[test]
fn mistakes_of_habit_lead_to_the_right_words() {
    let operator = Operator::new();
    let told = |arguments: &[&str]| {
        let output = operator.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        text(&output.stderr)
    };
    assert!(told(&["kill", "latest"]).contains("  try: graywave stop TASK\n"));
    assert!(told(&["run", "--name", "x", "--all"]).contains("  try: --script NAME"));
    let bare = told(&["run", "--execution-timeout", "5", "--all", "--", "true"]);
    assert!(bare.contains("5 has no unit: use 5m for 5 minutes, or 5s for 5 seconds"), "{bare}");
    assert!(told(&["run", "--canary", "50", "--all", "--", "true"]).contains("--canary"));
    let plan = operator.good(&["run", "--dry-run", "--canary", "2", "--all", "--", "true"]);
    assert!(plan.contains("worst case"), "{plan}");
    assert_eq!(operator.good(&["ls", "-o", "name"]), "", "a dry run starts nothing");
    assert!(operator.good(&["version"]).starts_with("graywave 0."));
    let output = operator.shell(&format!(
        "echo 'echo from stdin' | {} run -q -f - --desktop desktop-0001",
        env!("CARGO_BIN_EXE_graywave")
    ));
    assert!(output.status.success(), "{output:?}");
    let task = operator.task(&["--all", "--", "sleep 60"]);
    operator.good(&["cancel", &task]);
    assert_eq!(operator.ended(&task), "STOPPED");
}
