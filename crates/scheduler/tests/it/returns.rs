//! Targets whose desktop has to come back: after a reboot, or with another version of its agent.

use domain::{
    desktop::DesktopFacts,
    ids::TaskId,
    outcome::Outcome,
    policy::{RolloutPolicy, Weight},
    return_policy::{PostFinish, ReturnPolicy},
    task::TaskStatus,
};
use scheduler::{Leased, TargetReport};
use testkit::{Submit, desktop, desktop_id, project};

use crate::harness::{Harness, after, results, returned, start, worker};

/// Connects desktops to the worker `w` in a boot, each with an agent of this version.
async fn connect(
    harness: &Harness,
    desktops: std::ops::Range<u32>,
    boot_id: &str,
    version: &str,
    second: i64,
) {
    let facts: Vec<DesktopFacts> = desktops
        .map(|number| DesktopFacts {
            boot_id: boot_id.into(),
            agent_version: version.into(),
            connected_at: after(second),
            ..desktop(number)
        })
        .collect();
    harness.engine.heartbeat(&worker("w"), "here", 10_000, false, after(second)).await.unwrap();
    harness.engine.presence(&worker("w"), &facts, &[], after(second)).await.unwrap();
}

fn submit(targets: u32, returns: ReturnPolicy) -> Submit {
    let returns = ReturnPolicy { timeout_seconds: Some(100), ..returns };
    Submit { targets, policy: RolloutPolicy { returns, ..RolloutPolicy::default() }, ..Submit::default() }
}

fn reboots() -> ReturnPolicy {
    ReturnPolicy { post_finish: Some(PostFinish::Reboot), ..ReturnPolicy::default() }
}

/// Reports the successes of a batch, whose desktops reboot from a boot.
async fn report(harness: &Harness, leased: &Leased, boot_id: Option<&str>, second: i64) {
    let announced = |result| TargetReport { reboots_from: boot_id.map(str::to_owned), ..result };
    let results = results(leased, Outcome::Success).into_iter().map(announced).collect();
    let answer = harness.engine.report(&worker("w"), results, Vec::new(), after(second)).await.unwrap();
    assert!(answer.refused.is_empty(), "{:?}", answer.refused);
}

async fn status(harness: &Harness, task_id: TaskId) -> TaskStatus {
    harness.task(task_id).await.status
}

const AWAITED: &str = "SELECT count(*) FROM awaited_return WHERE NOT resumed";
const RECORDS: &str = "SELECT count(*) FROM record";
const NOT_RETURNED: &str = "SELECT count(*) FROM record WHERE outcome = 'NOT_RETURNED'";

#[tokio::test]
async fn target_ends_when_its_desktop_is_back_in_another_boot() {
    let harness = Harness::new().await;
    connect(&harness, 0..1, "b1", "1", 0).await;
    let task_id = harness.submit_and_cut(submit(1, reboots())).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    report(&harness, &leased[0], Some("b1"), 1).await;
    assert_eq!((harness.count(AWAITED).await, harness.count(RECORDS).await), (1, 0));
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0, "its batch is done");
    // A repeated report, a lost connection and a connection in the same boot change nothing.
    report(&harness, &leased[0], Some("b1"), 2).await;
    harness.offline_of(&[0], after(3)).await;
    harness.reap(after(3)).await;
    connect(&harness, 0..1, "b1", "1", 4).await;
    harness.reap(after(4)).await;
    assert_eq!((harness.count(AWAITED).await, status(&harness, task_id).await), (1, TaskStatus::Running));
    connect(&harness, 0..1, "b2", "1", 50).await;
    harness.reap(after(50)).await;
    assert_eq!(status(&harness, task_id).await, TaskStatus::Success);
    assert_eq!((harness.count(AWAITED).await, harness.count(RECORDS).await), (0, 1));
}

#[tokio::test]
async fn desktop_that_does_not_return_is_a_failure_that_halts() {
    let harness = Harness::new().await;
    connect(&harness, 0..3, "b1", "1", 0).await;
    let gray = Submit { gray: Some((2, 1)), ..submit(3, reboots()) };
    let task_id = harness.submit_and_cut(gray).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    report(&harness, &leased[0], Some("b1"), 1).await;
    let back = leased[0].batch.members[0].desktop_id.clone();
    let number = (0..3).find(|number| desktop_id(*number) == back).unwrap();
    connect(&harness, number..number + 1, "b2", "1", 20).await;
    harness.reap(after(20)).await;
    harness.reap(after(100)).await;
    assert_eq!((harness.count(AWAITED).await, status(&harness, task_id).await), (1, TaskStatus::Running));
    harness.reap(after(101)).await;
    assert_eq!(status(&harness, task_id).await, TaskStatus::Halted);
    assert_eq!(harness.count(NOT_RETURNED).await, 1);
    assert!(harness.leased(102).await.is_empty(), "no desktop of the next wave starts");
}

#[tokio::test]
async fn ignored_outcome_halts_nothing() {
    let harness = Harness::new().await;
    connect(&harness, 0..3, "b1", "1", 0).await;
    let mut gray = Submit { gray: Some((2, 1)), ..submit(3, reboots()) };
    gray.policy.outcomes.insert(Outcome::NotReturned, Weight::Ignore);
    let task_id = harness.submit_and_cut(gray).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    report(&harness, &leased[0], Some("b1"), 1).await;
    harness.reap(after(101)).await;
    assert_eq!(harness.count(NOT_RETURNED).await, 2);
    assert_ne!(status(&harness, task_id).await, TaskStatus::Halted);
}

#[tokio::test]
async fn failure_counts_without_a_wait_for_the_reboot() {
    let harness = Harness::new().await;
    connect(&harness, 0..2, "b1", "1", 0).await;
    let task_id = harness.submit_and_cut(Submit { gray: Some((1, 1)), ..submit(2, reboots()) }).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    let failed = results(&leased[0], Outcome::Failed).into_iter();
    let failed = failed.map(|it| TargetReport { reboots_from: Some("b1".into()), ..it }).collect();
    harness.engine.report(&worker("w"), failed, Vec::new(), after(1)).await.unwrap();
    assert_eq!((status(&harness, task_id).await, harness.count(AWAITED).await), (TaskStatus::Halted, 0));
}

#[tokio::test]
async fn agent_that_announces_no_reboot_does_not_return() {
    let harness = Harness::new().await;
    connect(&harness, 0..1, "b1", "1", 0).await;
    harness.submit_and_cut(submit(1, reboots())).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    report(&harness, &leased[0], None, 1).await;
    connect(&harness, 0..1, "b2", "1", 2).await;
    harness.reap(after(2)).await;
    assert_eq!(harness.count(AWAITED).await, 1);
    harness.reap(after(101)).await;
    assert_eq!(harness.count(NOT_RETURNED).await, 1);
}

#[tokio::test]
async fn target_succeeds_with_the_required_agent_version_only() {
    let harness = Harness::new().await;
    connect(&harness, 0..2, "b1", "1.0.0", 0).await;
    let version = ReturnPolicy { agent_version: Some("2.0.0".into()), ..ReturnPolicy::default() };
    let task_id = harness.submit_and_cut(submit(2, version)).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    // The agent of desktop 0 is upgraded before its result arrives.
    connect(&harness, 0..1, "b1", "2.0.0", 1).await;
    report(&harness, &leased[0], None, 2).await;
    harness.reap(after(2)).await;
    assert_eq!((harness.count(AWAITED).await, harness.count(RECORDS).await), (1, 1));
    connect(&harness, 1..2, "b1", "1.9.0", 3).await;
    harness.reap(after(3)).await;
    assert_eq!(harness.count(AWAITED).await, 1);
    harness.reap(after(102)).await;
    assert_eq!((harness.count(NOT_RETURNED).await, status(&harness, task_id).await), (1, TaskStatus::Failed));
}

#[tokio::test]
async fn returned_awaited_target_is_not_started_again() {
    let harness = Harness::new().await;
    connect(&harness, 0..2, "b1", "1", 0).await;
    harness.submit_and_cut(submit(2, reboots())).await;
    let leased = harness.lease(&worker("w"), 10, start()).await;
    let first = vec![TargetReport {
        reboots_from: Some("b1".into()),
        ..results(&leased[0], Outcome::Success).remove(0)
    }];
    harness.engine.report(&worker("w"), first, Vec::new(), after(1)).await.unwrap();
    // The answer was lost, and the connection of the desktop ended.
    let back = vec![returned(&leased[0], 0, true)];
    harness.engine.report(&worker("w"), Vec::new(), back, after(2)).await.unwrap();
    harness.engine.forget_worker(&worker("w"), None, after(3)).await.unwrap();
    connect(&harness, 0..2, "b1", "1", 4).await;
    let again = harness.leased(5).await;
    let ordinals: Vec<u32> =
        again.iter().flat_map(|leased| leased.batch.members.iter().map(|member| member.ordinal)).collect();
    assert_eq!(ordinals, [1], "only the target without a result is asked for");
    let gone = [(project(), desktop_id(0))];
    harness.engine.presence(&worker("w"), &[], &gone, after(6)).await.unwrap();
    assert_eq!(harness.count(AWAITED).await, 1);
}
