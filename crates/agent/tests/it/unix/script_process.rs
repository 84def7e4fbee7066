//! Process of a script: its file, its environment, and processes that outlive it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use proto::{
    agent::Order,
    order::{ParameterValue, ScriptParameters},
};
use rustix::process::geteuid;

use super::agent_process::{AgentHome, eventually, leave_out};
use crate::{fake_worker::FakeWorker, order, start};

/// Whether a command can be executed and succeeds.
fn succeeds(command: &[&str]) -> bool {
    let (program, args) = command.split_first().unwrap();
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn script_that_executes_its_own_file_runs_again() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let again = "#!/bin/sh\n[ -n \"$RETRY_DELAY\" ] || RETRY_DELAY=1 exec \"$0\"\necho again";
    let flock = "#!/bin/sh\n[ \"$FLOCKER\" != \"$0\" ] && exec env FLOCKER=\"$0\" flock -en \"$0\" \"$0\" \"$@\" || :\n\
                 echo again";
    let mut cases = vec![("exec-again", again)];
    if succeeds(&["flock", "--version"]) {
        cases.push(("exec-flock", flock));
    } else {
        leave_out("flock is not installed");
    }
    for (name, content) in cases {
        session.order(order(name, &[content])).await;
        let script = session.result().await.scripts.into_iter().next().unwrap();
        assert_eq!((script.outcome.as_str(), script.output.as_str()), ("SUCCESS", "again\n"), "{name}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn background_process_goes_on_writing_after_the_script() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, &dir.path().join("data"));
    let mut session = worker.session().await;
    let lines = dir.path().join("lines");
    // Each line follows a write to the script's output: a closed pipe would end the loop.
    let content = format!(
        "i=0; (while [ $i -lt 60 ]; do i=$((i+1)); echo tick || exit; echo $i >> {}; sleep 0.1; done) &",
        lines.display()
    );
    session.order(order("background", &[&content])).await;
    let script = session.result().await.scripts.into_iter().next().unwrap();
    assert_eq!(script.outcome, "SUCCESS");
    let recorded = script.output.lines().count();
    assert!(recorded < 60, "the result did not wait: {recorded}");
    eventually("60 lines of the background process", || {
        fs::read_to_string(&lines).is_ok_and(|text| text.lines().count() == 60)
    })
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn script_has_the_variables_of_the_agents_user() {
    if !succeeds(&["sh", "-c", "getent passwd $(id -u)"]) {
        leave_out("this user has no passwd entry, or getent is not installed");
        return;
    }
    let (place, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    let agent = place.start_with(&worker, "", |command| {
        command.env_clear().env("HOME", "/wrong");
    });
    let mut session = worker.session().await;
    let content = "entry=$(getent passwd $(id -u))\n\
                   echo \"$HOME:$USER:$LOGNAME:$SHELL\"\n\
                   echo \"$entry\" | awk -F: '{print $6 \":\" $1 \":\" $1 \":\" $7}'";
    session.order(order("user", &[content])).await;
    let script = session.result().await.scripts.into_iter().next().unwrap();
    let (given, wanted) = script.output.trim_end().split_once('\n').unwrap();
    assert_eq!(given, wanted);
    agent.unwrap().stop();
}

#[tokio::test]
async fn script_of_another_user_cannot_read_the_agents_files() {
    if !geteuid().is_root() || !succeeds(&["id", "nobody"]) {
        leave_out("only root runs scripts as another user, and nobody must exist");
        return;
    }
    let (place, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    // The user must reach the data directory.
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let agent = place.start_with(&worker, "", |command| {
        command.args(["--run-as", "nobody"]);
    });
    let mut session = worker.session().await;
    let data_dir = place.data_dir();
    let content = format!(
        "id -un; echo $USER; touch here && echo wrote\n\
         cat {0}/agent-id {0}/journal.log {0}/runs/*/spec.json 2>/dev/null || echo denied",
        data_dir.display()
    );
    session.order(order("as-nobody", &[&content])).await;
    let script = session.result().await.scripts.into_iter().next().unwrap();
    assert_eq!(script.output, "nobody\nnobody\nwrote\ndenied\n", "{}", script.reason);
    // The order's user wins.
    session.order(Order { run_as_user: "root".into(), ..order("as-root", &["id -un"]) }).await;
    let script = session.result().await.scripts.into_iter().next().unwrap();
    assert_eq!(script.output, "root\n", "{}", script.reason);
    session.order(Order { run_as_user: "no-such-user".into(), ..order("as-none", &["id -un"]) }).await;
    let script = session.result().await.scripts.into_iter().next().unwrap();
    assert_eq!(
        (script.outcome.as_str(), script.reason.as_str()),
        ("REJECTED", "cannot run as user \"no-such-user\": no such user")
    );
    agent.unwrap().stop();
}

#[tokio::test]
async fn agent_as_process_1_reaps_orphans() {
    if !succeeds(&["unshare", "--pid", "--fork", "--mount-proc", "true"]) {
        leave_out("this user may not create a namespace of processes");
        return;
    }
    let (place, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    let mut namespace = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_graywave-agent")])
        .args(["--project", "p1", "--desktop-id", "d1", "--worker", &worker.url, "--data-dir"])
        .arg(place.data_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut session = worker.session().await;
    // The runner ends before the process, whose parent is then process 1.
    session.order(order("orphan", &["setsid sleep 0.5 >/dev/null 2>&1 & exit 0"])).await;
    assert_eq!(session.result().await.scripts[0].outcome, "SUCCESS");
    let count = "sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; tr '\\0' ' ' < /proc/1/cmdline";
    session.order(order("zombies", &[count])).await;
    let output = session.result().await.scripts[0].output.clone();
    assert!(output.starts_with("0\n") && output.contains("graywave-agent"), "{output}");
    namespace.kill().unwrap();
    namespace.wait().unwrap();
}

#[tokio::test]
async fn parameters_are_variables_of_their_scripts() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let print = "printf '%s|' \"$GRAYWAVE_PARAM_RING\" \"$PATH\" \"${GRAYWAVE_PARAM_PATH-none}\"";
    let values = |given: &[(&str, &str)]| {
        let value =
            |(name, value): &(&str, &str)| ParameterValue { name: (*name).into(), value: (*value).into() };
        ScriptParameters { values: given.iter().map(value).collect() }
    };
    let hostile = "$(touch /tmp/x); `id`\n\"é";
    let order = Order {
        script_parameters: vec![values(&[("ring", hostile)]), values(&[("ring", "2"), ("path", "/evil")])],
        ..order("parameters", &[print, print])
    };
    session.order(order).await;
    let outputs: Vec<String> = session.result().await.scripts.into_iter().map(|it| it.output).collect();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(outputs, [format!("{hostile}|{path}|none|"), format!("2|{path}|/evil|")]);
    agent.stop().await;
}
