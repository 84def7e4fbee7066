//! Mistakes: messages, hints and exit codes.

use insta::assert_snapshot;

use super::operator::{Operator, settings};

#[test]
fn mistake_prints_a_fix_and_sets_the_exit_code() {
    let operator = Operator::new();
    let _guard = settings().bind_to_scope();
    let ended = operator.task(&["--desktop", "desktop-0001", "--", "true"]);
    operator.ended(&ended);
    let mistakes: [&[&str]; 32] = [
        &["run", "--canary", "5", "--", "true"],
        &["run", "--all"],
        &["run", "--canary", "50", "--all", "--", "true"],
        &["run", "--canary", "5", "--fail-threshold", "7", "--all", "--", "true"],
        &["run", "--canary", "five", "--all", "--", "true"],
        &["run", "--waves", "2,2", "--all", "--", "true"],
        &["run", "--desktop", "nobody", "--", "true"],
        &["run", "--tag", "no=such", "--", "true"],
        &["run", "--script", "abc", "--all"],
        &["run", "nowhere.sh", "--all"],
        &["run", "--rollout", "/etc/hostname", "--all", "--", "true"],
        &["show", "123"],
        &["pause", &ended],
        &["approve", &ended],
        &["concurrency", &ended, "many"],
        &["approve", &ended, "0"],
        &["ls", "--limit", "few"],
        &["what-if", &ended, "--soak", "10m"],
        &["explain", &ended, "nobody"],
        &["logs", "nobody"],
        &["ls", "--status", "NICE"],
        &["retry"],
        &["retry", "--record", "nope"],
        &["stop", "--record", "nope"],
        &["stop", &ended, "--record", "nope"],
        &["scripts", "show", "nope"],
        &["desktops", "show", "nobody"],
        &["desktops", "tag", "nobody", "a=b"],
        &["workers", "drain", "nobody"],
        &["config", "use", "nowhere"],
        &["ls", "--context", "nowhere"],
        &["frobnicate"],
    ];
    let transcripts: Vec<String> =
        mistakes.iter().map(|it| operator.transcript(&mut operator.command(it))).collect();
    assert_snapshot!("mistakes", transcripts.join("\n"));

    let mut elsewhere = operator.command(&["ls"]);
    let transcripts = [
        operator.transcript(operator.command(&["ls"]).env("GRAYWAVE_TOKEN", "wrong")),
        operator.transcript(operator.command(&["ls"]).env("GRAYWAVE_TOKEN", "w\u{f6}rong")),
        operator.transcript(elsewhere.env("GRAYWAVE_GRPC", "127.0.0.1:1")),
        operator
            .transcript(operator.command(&["ls"]).env("GRAYWAVE_GRPC", "http://graywave.example.com:9090")),
        operator.transcript(operator.command(&["ls"]).env("GRAYWAVE_GRPC", "not an address")),
        operator.transcript(&mut operator.bare(&["ls"])),
        operator.transcript(&mut operator.command(&["ls", "--grpc", "other.example:9090"])),
    ];
    assert_snapshot!("connections", transcripts.join("\n"));
}
