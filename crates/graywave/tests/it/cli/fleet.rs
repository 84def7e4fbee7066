//! Desktops and scripts.

use std::fs;

use super::operator::Operator;
use crate::harness::wait_for;

#[test]
fn desktops_and_scripts_are_managed() {
    let operator = Operator::new();
    operator.good(&["desktops", "tag", "desktop-0001", "ring=early,owner=ann"]);
    assert_eq!(operator.good(&["desktops", "--tag", "ring=early", "-o", "name"]), "desktop-0001\n");
    let task = operator.task(&["--tag", "ring=early", "--", "true"]);
    assert_eq!(operator.ended(&task), "SUCCESS");
    operator.good(&["desktops", "tag", "desktop-0001", "--remove", "ring"]);
    assert_eq!(operator.good(&["desktops", "--tag", "ring=early", "-o", "name"]), "");
    operator.good(&["desktops", "retire", "desktop-0002"]);
    assert_eq!(operator.good(&["desktops", "-o", "name"]).lines().count(), 5);
    assert_eq!(operator.good(&["desktops", "--only-retired", "-o", "name"]), "desktop-0002\n");
    operator.good(&["desktops", "unretire", "desktop-0002"]);
    wait_for("the desktop to reconnect", || {
        (operator.good(&["desktops", "--online", "-o", "name"]).lines().count() == 6).then_some(())
    });
    let revoked = operator.good(&["desktops", "revoke", "never-seen"]);
    assert!(revoked.contains("no desktop with this id has ever connected"), "{revoked}");
    let token = operator.good(&["desktops", "enrol", "--desktop", "new-one"]);
    assert!(token.lines().count() == 1 && token.len() > 20, "{token}");

    let file = operator.path("a.ps1");
    fs::write(&file, "Get-Date\n").unwrap();
    let saved =
        operator.json(&["scripts", "save", file.to_str().unwrap(), "--description", "what time is it?"]);
    assert_eq!((&saved["name"], &saved["script_type"]), (&"a.ps1".into(), &"POWERSHELL".into()));
    let id = saved["script_id"].as_str().unwrap();
    let updated = operator.json(&["scripts", "update", id, "--name", "clock"]);
    assert_eq!(
        (&updated["name"], &updated["revision"], &updated["content"]),
        (&"clock".into(), &2.into(), &"Get-Date\n".into())
    );
    operator.good(&["scripts", "rm", id]);
    assert_eq!(operator.good(&["scripts", "-o", "name"]), "");
}
