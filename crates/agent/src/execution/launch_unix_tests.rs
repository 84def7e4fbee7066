use std::{future::pending, path::Path, sync::Arc};

use runner::{End, Ended};

use super::{
    tests::{Rig, rig, terms},
    *,
};
use crate::{
    blocking::blocking,
    execution::{AgentStop, Finish, Runs, Terms},
};

impl Rig {
    async fn start(&self, content: &str, terms: Terms) -> Supervised {
        let prepared = self.prepare(content, terms).await.unwrap();
        blocking(move || launch(prepared, &RunnerProgram::of_tests())).await.unwrap()
    }

    async fn run(&self, content: &str) -> Ended {
        ended(&mut self.start(content, terms()).await).await
    }
}

async fn ended(supervised: &mut Supervised) -> Ended {
    match supervised.finish(pending(), pending()).await {
        Finish::Ended(ended) => *ended,
        finish => panic!("{finish:?}"),
    }
}

#[tokio::test]
async fn script_has_its_environment_and_a_directory_of_its_own() {
    let content = "echo $GRAYWAVE_TASK_ID ${GRAYWAVE_EXECUTION%%-*} $PATH; cat; ls; stat -c %a . $0";
    let wanted = format!(
        "t-1 launch {}\nscript.sh\n700\n700\n",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    assert_eq!(rig().run(content).await.output, wanted);
}

#[tokio::test]
async fn first_line_names_the_interpreter() {
    let output = rig().run("#!/bin/cat -n\nx").await.output;
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["1", "#!/bin/cat", "-n", "2", "x"]);
}

#[tokio::test]
async fn secrets_of_the_agent_are_not_in_the_environment() {
    // The test's own environment stands for the agent's.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    assert!(!rig().run("env").await.output.contains("CARGO"));
}

#[tokio::test]
async fn relative_data_directory_is_made_absolute() {
    let runs = Runs::new(Path::new("data"));
    assert!(runs.dir("x").path().is_absolute());
}

#[tokio::test]
async fn earlier_agent_is_replaced_in_mid_run() {
    let rig = rig();
    let up = rig.dir.path().join("up");
    let content =
        format!("touch here; : > {0}; while [ -e {0} ]; do sleep 0.01; done; ls; exit 7", up.display());
    let terms = terms();
    let id = terms.id.clone();
    let mut first = rig.start(&content, terms).await;
    while !up.exists() {
        tokio::task::yield_now().await;
    }
    let stopped = first.finish(pending(), std::future::ready(AgentStop::Detach)).await;
    assert!(matches!(stopped, Finish::Detached));
    drop(first);
    let mut second = Supervised::attach(id.clone(), rig.runs.dir(&id), rig.scratch.open(&id));
    std::fs::remove_file(&up).unwrap();
    let ended = ended(&mut second).await;
    assert_eq!((ended.end, ended.output.as_str()), (End::Exited { code: 7 }, "here\nscript.sh\n"));
    let work_dir = rig.dir.path().join(format!("scripts/run-{id}"));
    assert!(work_dir.exists());
    second.gone().await;
    assert!(!work_dir.exists());
}

#[tokio::test]
async fn stop_reaches_a_script_of_an_earlier_agent() {
    let rig = rig();
    let terms = terms();
    let id = terms.id.clone();
    let up = rig.dir.path().join("up");
    let first = rig.start(&format!(": > {}; sleep 300", up.display()), terms).await;
    while !up.exists() {
        tokio::task::yield_now().await;
    }
    drop(first);
    let mut second = Supervised::attach(id.clone(), rig.runs.dir(&id), rig.scratch.open(&id));
    let Finish::Ended(ended) = second.finish(std::future::ready(()), pending()).await else { panic!() };
    assert_eq!(ended.end, End::Stopped);
}

#[tokio::test]
async fn killed_runner_is_a_lost_execution_without_processes() {
    let rig = rig();
    let up = rig.dir.path().join("up");
    let mut supervised = rig.start(&format!("sleep 300 & : > {}; sleep 300", up.display()), terms()).await;
    while !up.exists() {
        tokio::task::yield_now().await;
    }
    supervised.kill_process();
    let finish = supervised.finish(pending(), pending()).await;
    let Finish::Lost { cause, survivors } = finish else { panic!("{finish:?}") };
    assert_eq!((cause, survivors), ("the runner was killed", vec![]));
}

/// A child forked while a script's file is open for writing would keep it open: ETXTBSY.
#[tokio::test]
async fn many_scripts_at_once_can_execute_their_own_files() {
    let rig = Arc::new(rig());
    // A long file takes a while to write.
    let comment = "#\n".repeat(100_000);
    let content = format!(
        "#!/bin/sh\n[ -n \"$RETRY_DELAY\" ] || RETRY_DELAY=1 exec \"$0\"\necho again; exit\n{comment}"
    );
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (rig, content) = (Arc::clone(&rig), content.clone());
        running.spawn(async move {
            for _ in 0..20 {
                assert_eq!(rig.run(&content).await.output, "again\n");
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}
