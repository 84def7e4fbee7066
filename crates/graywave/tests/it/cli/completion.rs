//! Shell completion.

use super::operator::Operator;

#[test]
fn completion_offers_commands_flags_and_ids() {
    let operator = Operator::new();
    let task = operator.task(&["--desktop", "desktop-0001", "--", "true"]);
    // Requests completions as the generated bash function does.
    let offered = |words: &[&str]| {
        let mut command = operator.command(&[&["--", "graywave"], words].concat());
        command
            .env("GRAYWAVE_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true");
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offered(&["show", task.get(..8).unwrap()]), [task.as_str()]);
    assert_eq!(offered(&["run", "--desktop", "desktop-000"]).len(), 6);
    assert_eq!(offered(&["run", "--desktop", "desktop-0001,desktop-0003"]), ["desktop-0001,desktop-0003"]);
    assert!(offered(&["workers", "drain", ""])[0].starts_with("worker-"));
    assert_eq!(offered(&["pa"]), ["pause"]);
    assert!(offered(&["run", "--can"]).contains(&"--canary".to_owned()));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let text = operator.good(&["completion", shell]);
        assert!(text.contains("COMPLETE") && text.contains("graywave"), "{shell}: {text}");
    }
    let unreachable = operator
        .command(&["--", "graywave", "show", ""])
        .env("GRAYWAVE_GRPC", "127.0.0.1:1")
        .env("GRAYWAVE_COMPLETE", "fish")
        .output()
        .unwrap();
    assert!(unreachable.status.success() && unreachable.stderr.is_empty(), "completion prints no errors");
}
