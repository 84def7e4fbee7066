//! Claims that a peer has no right to make are refused and change nothing.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    desktop::DesktopFacts,
    ids::{TaskId, WorkerId},
    outcome::Outcome,
    task::TaskStatus,
};
use scheduler::{DueTimes, TargetReport};
use testkit::{Submit, desktop};

use crate::harness::{Harness, after, results, start, worker};

async fn refusals(harness: &Harness, reporter: &WorkerId, results: Vec<TargetReport>) -> Vec<String> {
    let answer = harness.engine.report(reporter, results, Vec::new(), after(1)).await.unwrap();
    answer.refused.into_iter().map(|(_, _, reason)| reason).collect()
}

async fn is_untouched(harness: &Harness, task_id: TaskId) -> bool {
    harness.count("SELECT count(*) FROM record").await == 0
        && harness.count("SELECT count(*) FROM wave WHERE target_tally <> '{0,0,0,0,0,0,0,0,0}'").await == 0
        && harness.task(task_id).await.status == TaskStatus::Running
}

#[tokio::test]
async fn a_worker_reports_for_no_batch_that_another_one_holds() {
    let harness = Harness::new().await;
    let (holder, other) = (worker("holder"), worker("other"));
    harness.online(&holder, 0..2, start()).await;
    harness.online(&other, 2..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let held = harness.lease(&holder, 10, start()).await;
    assert_eq!(
        refusals(&harness, &other, results(&held[0], Outcome::Failed)).await,
        ["another worker holds the batch that it names"; 2]
    );
    assert!(is_untouched(&harness, task_id).await);
    assert!(refusals(&harness, &holder, results(&held[0], Outcome::Success)).await.is_empty());
}

#[tokio::test]
async fn what_was_never_handed_out_has_no_result() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    harness.offline(2..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let held = harness.lease(&w, 1, start()).await;
    let mine = results(&held[0], Outcome::Success).remove(0);
    // Target 1 waits in a batch, target 2 for its desktop; naming a batch makes no difference.
    let invented: Vec<TargetReport> = [(1, None), (1, mine.batch_id), (2, None), (2, mine.batch_id)]
        .into_iter()
        .map(|(ordinal, batch_id)| TargetReport {
            ordinal,
            batch_id,
            desktop_id: testkit::desktop_id(ordinal),
            ..mine.clone()
        })
        .collect();
    for report in invented {
        assert_eq!(refusals(&harness, &w, vec![report]).await, ["the target was not delivered to any agent"]);
    }
    assert!(is_untouched(&harness, task_id).await);
}

#[tokio::test]
async fn a_late_result_is_a_result_whoever_holds_its_target_by_then() {
    let harness = Harness::new().await;
    let (late, next) = (worker("late"), worker("next"));
    harness.online(&late, 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let lost = harness.lease(&late, 1, start()).await;
    harness.reap(after(16)).await;
    harness.online(&next, 0..1, after(17)).await;
    harness.reap(after(17)).await;
    assert_eq!(harness.lease(&next, 1, after(17)).await.len(), 1);
    harness.report(&late, &lost[0], Outcome::Success, after(18)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

fn as_agent(agent_id: &str, connected_at: Timestamp) -> [DesktopFacts; 1] {
    [DesktopFacts { agent_id: agent_id.into(), connected_at, computer_name: agent_id.into(), ..desktop(0) }]
}

/// Whether a worker may hold desktop 0 of an agent that connected to it at a given second.
async fn claim(harness: &Harness, by: &WorkerId, agent_id: &str, second: i64) -> bool {
    let facts = as_agent(agent_id, after(second));
    harness.engine.presence(by, &facts, &[], after(second)).await.unwrap().unwrap().is_empty()
}

#[tokio::test]
async fn a_desktop_that_is_connected_is_nobody_else_s() {
    let harness = Harness::new().await;
    let (here, there) = (worker("here"), worker("there"));
    harness.online(&here, 1..2, start()).await;
    harness.online(&there, 2..3, start()).await;
    assert!(claim(&harness, &here, "real", 10).await);
    assert!(!claim(&harness, &there, "other", 20).await);
    let real = "SELECT count(*) FROM desktop WHERE worker_id = 'here' AND agent_id = 'real' AND computer_name = 'real'";
    assert_eq!(harness.count(real).await, 1, "the row is unchanged");
    assert!(claim(&harness, &there, "real", 30).await, "the same agent may move");
    let (project_id, desktop_id) = (testkit::project(), testkit::desktop_id(0));
    harness.engine.presence(&there, &[], &[(project_id, desktop_id)], after(40)).await.unwrap();
    assert!(
        claim(&harness, &here, "other", 50).await,
        "the former agent is disconnected: the machine may have been reinstalled"
    );
}

#[tokio::test]
async fn what_an_older_connection_says_changes_nothing() {
    let harness = Harness::new().await;
    let (here, there) = (worker("here"), worker("there"));
    harness.online(&here, 1..2, start()).await;
    harness.online(&there, 2..3, start()).await;
    assert!(claim(&harness, &there, "agent", 20).await);
    // Its worker has not noticed the disconnect and reports all its connections again.
    let stale = as_agent("agent", after(10));
    let refused = harness.engine.presence(&here, &stale, &[], after(30)).await.unwrap().unwrap();
    assert_eq!(refused.len(), 1, "the worker must close the connection");
    assert_eq!(harness.count("SELECT count(*) FROM desktop WHERE worker_id = 'there'").await, 2);
}

#[tokio::test]
async fn while_nobody_could_be_heard_nothing_is_given_up() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    let limits =
        Submit { execution: TimeDelta::seconds(30), delivery: TimeDelta::seconds(30), ..Submit::default() };
    let task_id = harness.submit_and_cut(limits).await;
    let leased = harness.lease(&w, 1, start()).await;
    // The database was unavailable from second 2 to second 1,000: past the lease and past the
    // deadline of the result.
    harness.engine.reap(DueTimes { now: after(1_000), observed_until: after(2) }).await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM worker").await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM batch WHERE status = 'LEASED'").await, 1);
    harness.report(&w, &leased[0], Outcome::Success, after(1_001)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn authentic_result_counts_from_any_worker() {
    let harness = Harness::new().await;
    let (holder, other) = (worker("holder"), worker("other"));
    harness.online(&holder, 0..2, start()).await;
    harness.online(&other, 2..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let held = harness.lease(&holder, 1, start()).await;
    let mut authentic = results(&held[0], Outcome::Success);
    // Target 1 is in no lease: workers said that it was never delivered.
    authentic.push(TargetReport {
        ordinal: 1,
        desktop_id: testkit::desktop_id(1),
        batch_id: None,
        ..authentic[0].clone()
    });
    let from_agents = |is_authentic| {
        let result = |result: &TargetReport| TargetReport { is_authentic, ..result.clone() };
        authentic.iter().map(result).collect::<Vec<_>>()
    };
    assert_eq!(refusals(&harness, &other, from_agents(false)).await.len(), 2);
    assert!(is_untouched(&harness, task_id).await);
    assert!(refusals(&harness, &other, from_agents(true)).await.is_empty());
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 2);
    // The rest of the rollout goes on.
    for worker in [&holder, &other] {
        for leased in harness.lease(worker, 10, start()).await {
            refusals(&harness, worker, results(&leased, Outcome::Success)).await;
        }
    }
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'SUCCESS'").await, 3);
}
