//! Output of scripts as it comes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use super::operator::Operator;

#[test]
fn run_prints_output_as_it_comes() {
    let operator = Operator::new();
    let go = operator.path("go");
    let script = format!("echo one; while [ ! -e {} ]; do sleep 0.1; done; printf two", go.display());
    let mut command = operator.command(&["run", "--desktop", "desktop-0001", "--", &script]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n", "the script still runs");
    // Another reader of the same script begins at its start.
    let mut command = operator.command(&["logs", "-f", "desktop-0001"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(follower.stdout.take().unwrap());
    line.clear();
    followed.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    fs::write(go, "").unwrap();
    line.clear();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "two\n", "each line once, and the last one with an end");
    assert!(running.wait().unwrap().success());
    let mut rest = String::new();
    followed.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\n");
    assert!(follower.wait().unwrap().success());
    assert_eq!(operator.good(&["logs", "desktop-0001"]), "one\ntwo\n", "the stored output is the same");
}

#[test]
fn output_of_several_desktops_has_their_ids() {
    let operator = Operator::new();
    let said = operator.good(&["run", "--all", "--", "echo on $GRAYWAVE_DESKTOP_ID; echo 2 >&2"]);
    for number in 1..=6 {
        let lines = format!("desktop-000{number} | on desktop-000{number}\n");
        assert!(said.contains(&lines), "{said}");
    }
    assert_eq!(said.matches(" | 2\n").count(), 6, "{said}");
    let all = operator.good(&["logs", "--all"]);
    assert_eq!(all.matches("on desktop-000").count(), 6, "{all}");
    let followed = operator.good(&["logs", "--all", "-f"]);
    assert_eq!(followed.matches(" | on desktop-000").count(), 6, "{followed}");
    // A program gets the result alone.
    let result = operator.good(&["run", "--all", "-o", "json", "--", "echo hidden"]);
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["target_count"], 6);
}

#[test]
fn parameters_reach_the_script_and_are_shown() {
    let operator = Operator::new();
    let (script, declared) = (operator.path("ring.sh"), operator.path("parameters.json"));
    fs::write(&script, "echo \"[$GRAYWAVE_PARAM_RING] [$GRAYWAVE_PARAM_LEVEL]\"\n").unwrap();
    fs::write(
        &declared,
        r#"[{"name": "ring", "is_required": true}, {"name": "level", "default_value": "1"}]"#,
    )
    .unwrap();
    let saved = operator.json(&[
        "scripts",
        "save",
        script.to_str().unwrap(),
        "--parameters",
        declared.to_str().unwrap(),
    ]);
    let id = saved["script_id"].as_str().unwrap();
    let run = ["run", "--script", id, "--desktop", "desktop-0001"];
    let missing = operator.output(&run);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && said.contains("--param"), "{said}");
    let said = operator.good(&[&run[..], &["--param", "ring=a b; $(id)"]].concat());
    assert!(said.starts_with("[a b; $(id)] [1]\n"), "{said}");
    let task = operator.json(&["show", "latest"]);
    assert_eq!(task["scripts"][0]["parameters"]["ring"], "a b; $(id)");
    assert!(operator.good(&["show", "latest"]).contains("level=1, ring=a b; $(id)"));
}
