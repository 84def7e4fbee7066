//! Targets of desktops that cannot connect any more end at once.

use domain::{
    ids::TaskId,
    outcome::Outcome,
    policy::{RolloutPolicy, Weight},
    task::TaskStatus,
};
use store::desktop;
use testkit::{Submit, desktop_id, project};

use crate::harness::{Harness, after, ordinals, start, worker};

fn ignoring_undelivered() -> RolloutPolicy {
    RolloutPolicy { outcomes: [(Outcome::Undelivered, Weight::Ignore)].into(), ..RolloutPolicy::default() }
}

async fn retire(harness: &Harness, number: u32, seconds: i64) {
    let mut tx = harness.store().begin().await.unwrap();
    let retired =
        desktop::retire(&mut tx, &project(), &desktop_id(number), "ann", after(seconds)).await.unwrap();
    assert!(retired);
    harness.store().commit(tx).await.unwrap();
}

/// Reasons of the records that are UNDELIVERED, by target.
async fn undelivered(harness: &Harness, task_id: TaskId) -> Vec<(i32, String)> {
    let mut connection = harness.database.connection().await.unwrap();
    sqlx::query_as(
        "SELECT ordinal, reason FROM record WHERE task_id = $1 AND outcome = 'UNDELIVERED' ORDER BY ordinal",
    )
    .bind(task_id.0)
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

const RETIRED: &str = "the desktop was retired before the target was delivered";
const REVOKED: &str = "the certificates of the desktop were revoked before the target was delivered";

#[tokio::test]
async fn retired_desktop_ends_its_waiting_target_at_once() {
    let harness = Harness::new().await;
    harness.offline(0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    harness.reap(after(1)).await;
    assert_eq!(undelivered(&harness, task_id).await, []);
    retire(&harness, 1, 2).await;
    harness.reap(after(3)).await;
    assert_eq!(undelivered(&harness, task_id).await, [(1, RETIRED.to_owned())]);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running, "the other one still waits");
}

#[tokio::test]
async fn target_that_waits_for_a_full_worker_ends_at_once() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let before = harness.count("SELECT extract(epoch FROM min(deliver_by))::int8 FROM batch").await;
    harness.reap(after(1)).await;
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 1);
    retire(&harness, 1, 2).await;
    harness.reap(after(3)).await;
    assert_eq!(undelivered(&harness, task_id).await, [(1, RETIRED.to_owned())]);
    let left = harness.count("SELECT extract(epoch FROM min(deliver_by))::int8 FROM batch").await;
    assert_eq!(left, before, "the other targets keep their deadline");
    assert_eq!(ordinals(&harness.leased(4).await), [0, 2]);
}

#[tokio::test]
async fn target_of_a_later_wave_ends_when_it_is_admitted() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..3, start()).await;
    let policy = ignoring_undelivered();
    let submit = Submit { targets: 3, gray: Some((1, 1)), policy, ..Submit::default() };
    let task_id = harness.submit(submit).await;
    let canaries = harness.leased(0).await;
    let canary = &canaries[0].batch.members[0].desktop_id;
    let others: Vec<u32> = (0..3).filter(|&number| desktop_id(number) != *canary).collect();
    retire(&harness, others[0], 1).await;
    let hour = 3_600;
    harness.report(&worker("w"), &canaries[0], Outcome::Success, after(hour)).await;
    let rest = harness.leased(hour + 1).await;
    assert_eq!(rest.len(), 1, "only the desktop in service");
    harness.reap(after(hour + 2)).await;
    let ended = undelivered(&harness, task_id).await;
    assert_eq!(ended.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>(), [RETIRED]);
    harness.report(&worker("w"), &rest[0], Outcome::Success, after(hour + 3)).await;
    assert!(harness.task(task_id).await.status.is_ended());
}

#[tokio::test]
async fn revoked_desktop_ends_its_targets_until_it_enrols_again() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let mut connection = harness.database.connection().await.unwrap();
    let shown = "UPDATE desktop SET certificate_serial = 'aa', worker_id = NULL";
    sqlx::query(shown).execute(&mut connection).await.unwrap();
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let mut tx = harness.store().begin().await.unwrap();
    store::enrolment::revoke_desktop(&mut tx, &project(), &desktop_id(0), after(1)).await.unwrap();
    harness.store().commit(tx).await.unwrap();
    harness.reap(after(2)).await;
    assert_eq!(undelivered(&harness, task_id).await, [(0, REVOKED.to_owned())]);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
    harness.online(&worker("w"), 0..1, after(3)).await;
    let again = harness.submit(Submit::default()).await;
    let leased = harness.leased(4).await;
    assert_eq!(leased.len(), 1, "it is connected with a newer certificate");
    harness.report(&worker("w"), &leased[0], Outcome::Success, after(5)).await;
    assert_eq!(harness.task(again).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn target_that_may_run_waits_for_its_deadline() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let task_id = harness.submit(Submit::default()).await;
    assert_eq!(harness.leased(0).await.len(), 1);
    retire(&harness, 0, 1).await;
    harness.reap(after(2)).await;
    assert_eq!(undelivered(&harness, task_id).await, []);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
}
