//! A desktop that is reinstalled during a rollout: its new agent has no journal, so a target that
//! its former agent may have started does not start again.

use domain::{
    desktop::DesktopFacts,
    ids::{TaskId, WorkerId},
    outcome::Outcome,
    task::TaskStatus,
};
use scheduler::{Leased, TargetReport};
use testkit::{Submit, desktop, desktop_id, project};

use crate::harness::{Harness, after, result, returned, start, worker};

/// Connects desktop 0 to a worker, with an agent of this id.
async fn connect(harness: &Harness, by: &WorkerId, agent_id: &str, second: i64) {
    harness.engine.heartbeat(by, "here", 10_000, false, after(second)).await.unwrap();
    let facts = DesktopFacts { agent_id: agent_id.into(), connected_at: after(second), ..desktop(0) };
    let refused = harness.engine.presence(by, &[facts], &[], after(second)).await.unwrap();
    assert!(refused.unwrap().is_empty());
}

/// Disconnects desktop 0 and returns its target.
async fn disconnect(harness: &Harness, from: &WorkerId, leased: &Leased, handed: bool, second: i64) {
    let gone = [(project(), desktop_id(0))];
    harness.engine.presence(from, &[], &gone, after(second)).await.unwrap();
    let back = vec![returned(leased, 0, handed)];
    harness.engine.report(from, Vec::new(), back, after(second)).await.unwrap();
}

/// Leases the target of a new task for an agent of this id, which then disconnects.
async fn lease_and_disconnect(harness: &Harness, w: &WorkerId, agent_id: &str, handed: bool) -> TaskId {
    connect(harness, w, agent_id, 0).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(w, 10, start()).await;
    assert_eq!(leased[0].batch.members[0].agent_id, agent_id);
    disconnect(harness, w, &leased[0], handed, 1).await;
    task_id
}

const UNKNOWN: &str =
    "SELECT count(*) FROM record WHERE outcome = 'UNKNOWN' AND reason LIKE '%agent was replaced%'";

#[tokio::test]
async fn replaced_agent_gets_no_target_that_may_have_started() {
    let harness = Harness::new().await;
    let w = worker("w");
    let task_id = lease_and_disconnect(&harness, &w, "former", true).await;
    connect(&harness, &w, "new", 2).await;
    let claim = TargetReport { agent_id: "new".into(), ..result(task_id, None, 0, Outcome::Success) };
    let answer = harness.engine.report(&w, vec![claim.clone()], Vec::new(), after(2)).await.unwrap();
    assert!(answer.refused[0].2.contains("another agent"), "{answer:?}");
    harness.reap(after(2)).await;
    assert!(harness.lease(&w, 10, after(2)).await.is_empty(), "a second start must not happen");
    assert_eq!(harness.count(UNKNOWN).await, 1);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
    // The new agent's report does not change that.
    let answer = harness.engine.report(&w, vec![claim], Vec::new(), after(3)).await.unwrap();
    assert_eq!((answer.stored, harness.count(UNKNOWN).await), (0, 1));
}

#[tokio::test]
async fn replaced_agent_after_a_lost_worker_makes_unknown() {
    let harness = Harness::new().await;
    let (lost, other) = (worker("lost"), worker("other"));
    connect(&harness, &lost, "former", 0).await;
    harness.submit_and_cut(Submit::default()).await;
    assert_eq!(harness.lease(&lost, 10, start()).await.len(), 1);
    harness.engine.forget_worker(&lost, None, after(1)).await.unwrap();
    connect(&harness, &other, "new", 2).await;
    harness.reap(after(3)).await;
    harness.reap(after(4)).await;
    assert!(harness.lease(&other, 10, after(4)).await.is_empty());
    assert_eq!(harness.count(UNKNOWN).await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0);
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 0);
}

#[tokio::test]
async fn result_of_the_former_agent_counts_until_it_is_replaced() {
    let harness = Harness::new().await;
    let w = worker("w");
    let task_id = lease_and_disconnect(&harness, &w, "former", true).await;
    // A result from the former agent's journal, over another worker.
    let late = TargetReport { agent_id: "former".into(), ..result(task_id, None, 0, Outcome::Success) };
    harness.engine.report(&worker("v"), vec![late], Vec::new(), after(2)).await.unwrap();
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn same_agent_gets_its_target_again() {
    let harness = Harness::new().await;
    let w = worker("w");
    lease_and_disconnect(&harness, &w, "same", true).await;
    connect(&harness, &w, "same", 2).await;
    harness.reap(after(2)).await;
    let again = harness.lease(&w, 10, after(2)).await;
    assert!(again[0].batch.terms.maybe_delivered, "its journal holds the result");
    assert_eq!(again[0].batch.members[0].agent_id, "same");
}

#[tokio::test]
async fn replaced_agent_gets_what_was_never_handed_out() {
    let harness = Harness::new().await;
    let w = worker("w");
    lease_and_disconnect(&harness, &w, "former", false).await;
    connect(&harness, &w, "new", 2).await;
    harness.reap(after(2)).await;
    let again = harness.lease(&w, 10, after(2)).await;
    assert!(!again[0].batch.terms.maybe_delivered);
    assert_eq!(again[0].batch.members[0].agent_id, "new");
}

#[tokio::test]
async fn replaced_agent_halts_at_the_threshold() {
    let harness = Harness::new().await;
    let w = worker("w");
    connect(&harness, &w, "former", 0).await;
    harness.online(&w, 1..4, start()).await;
    // Whichever desktop is the canary, the remaining targets of the wave are returned too.
    let submit = Submit { targets: 4, gray: Some((4, 1)), ..Submit::default() };
    let task_id = harness.submit_and_cut(submit).await;
    let leased = harness.lease(&w, 10, start()).await;
    let member = leased[0].batch.members.iter().find(|member| member.desktop_id == desktop_id(0)).unwrap();
    harness.engine.presence(&w, &[], &[(project(), desktop_id(0))], after(1)).await.unwrap();
    let back = vec![returned(&leased[0], member.ordinal, true)];
    harness.engine.report(&w, Vec::new(), back, after(1)).await.unwrap();
    connect(&harness, &w, "new", 2).await;
    harness.reap(after(2)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halting, "UNKNOWN counts as a failure");
}
