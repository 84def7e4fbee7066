//! Process of a script: its file, its environment, and processes that outlive it.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{
    agent_process::{Place, eventually, leave_out},
    fake_worker::FakeWorker,
    order, start,
};

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
    let (place, mut worker) = (Place::new(), FakeWorker::start().await);
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
