//! A task that cannot go on, that is large, or whose rows are damaged, delays no other task. A full
//! worker loses no target.

use chrono::TimeDelta;
use domain::{
    desktop::DesktopFacts,
    ids::{ProjectId, TaskId},
    outcome::Outcome,
    task::TaskStatus,
};
use engine::DueTimes;
use store::TaskRows;
use testkit::{Submit, desktop};

use crate::harness::{ENGINE, Harness, after, ordinals, start, worker};

/// Number of targets, more than one tick reads.
const MANY: u32 = 1_100;

/// Submits a task whose desktops are all disconnected.
async fn deferred(harness: &Harness, submit: Submit) -> TaskId {
    harness.offline(0..submit.targets, start()).await;
    harness.submit_and_cut(submit).await
}

/// Limits the targets of a task that are in flight.
async fn limit(harness: &Harness, task_id: TaskId, most: u32) {
    let mut tx = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut tx);
    let limit = ENGINE.set_max_concurrency(&mut rows, task_id, Some(most), "alice", start());
    let decision = limit.await.unwrap();
    harness.commit(tx, decision).await;
}

/// Makes the waves of a task unreadable.
async fn damage(harness: &Harness, task_id: TaskId) {
    let mut connection = harness.database.connection().await.unwrap();
    let statement = "UPDATE wave SET target_tally = '{1}' WHERE task_id = $1";
    sqlx::query(statement).bind(task_id.0).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn targets_without_a_slot_delay_no_other_task() {
    let harness = Harness::new().await;
    let w = worker("w");
    let blocked = deferred(&harness, Submit { targets: MANY, ..Submit::default() }).await;
    limit(&harness, blocked, 1).await;
    let urgent = deferred(&harness, Submit::default()).await;
    harness.online(&w, 0..1, after(1)).await;
    // The first desktop is that of both tasks: take the slot of the blocked task with another one.
    harness.online(&w, 1..2, after(1)).await;
    harness.reap(after(1)).await;
    let leased = harness.lease(&w, 1_000, after(1)).await;
    assert!(leased.iter().any(|leased| leased.batch.terms.task_id == urgent));

    harness.online(&w, 2..MANY, after(2)).await;
    let second = harness.submit(Submit { targets: 2, ..Submit::default() }).await;
    harness.offline_of(&[0, 1], after(2)).await;
    while harness.engine.admit(second, after(2)).await.unwrap() {}
    harness.online(&w, 0..2, after(3)).await;
    harness.reap(after(3)).await;
    let leased = harness.lease(&w, 1_000, after(3)).await;
    let of_second: Vec<_> =
        leased.into_iter().filter(|leased| leased.batch.terms.task_id == second).collect();
    assert_eq!(ordinals(&of_second), [0, 1], "{blocked} has no slot for its 1,099 reachable targets");
}

#[tokio::test]
async fn overdue_targets_of_a_damaged_task_delay_no_other() {
    let harness = Harness::new().await;
    let damaged = deferred(&harness, Submit { targets: MANY, ..Submit::default() }).await;
    let other = deferred(&harness, Submit::default()).await;
    damage(&harness, damaged).await;
    for round in 0..2 {
        harness.engine.reap(DueTimes::at(after(700 + round))).await.unwrap();
    }
    assert_eq!(harness.waves(other).await[0].state.tally.get(Outcome::Undelivered), 1);
}

#[tokio::test]
async fn damaged_task_ends_no_tick_of_others() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    let damaged = harness.submit_and_cut(Submit::default()).await;
    let other = harness.submit_and_cut(Submit::default()).await;
    assert_eq!(harness.lease(&w, 10, start()).await.len(), 2);
    let waiting = [harness.submit(Submit::default()).await, harness.submit(Submit::default()).await];
    damage(&harness, damaged).await;
    damage(&harness, waiting[0]).await;
    harness.online(&w, 0..1, after(31)).await;
    assert!(!harness.engine.admit_all(after(31)).await.unwrap());
    // Both leases have ended.
    harness.engine.reap(DueTimes::at(after(31))).await.unwrap();
    let mut leased: Vec<TaskId> =
        harness.lease(&w, 10, after(31)).await.iter().map(|leased| leased.batch.terms.task_id).collect();
    leased.sort_unstable();
    assert_eq!(leased, [other, waiting[1]]);
}

/// Connects the first desktop of a project of its own, and submits a task of it.
async fn submit_to_other_project(harness: &Harness) -> TaskId {
    let project_id: ProjectId = "urgent".parse().unwrap();
    let facts = DesktopFacts { project_id: project_id.clone(), ..desktop(0) };
    assert!(harness.engine.presence(&worker("w"), &[facts], &[], start()).await.unwrap().is_some());
    harness.submit_and_cut(Submit { project_id, ..Submit::default() }).await
}

#[tokio::test]
async fn urgent_task_does_not_wait_behind_a_large_one() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..300, start()).await;
    let large = harness.submit_and_cut(Submit { targets: 300, ..Submit::default() }).await;
    assert_eq!(ordinals(&harness.lease(&w, 150, start()).await).len(), 150);
    let urgent = submit_to_other_project(&harness).await;
    let leased = harness.lease(&w, 1, after(1)).await;
    let tasks: Vec<TaskId> = leased.iter().map(|leased| leased.batch.terms.task_id).collect();
    assert_eq!(tasks, [urgent], "{large} has 150 targets ready and holds 150");
    let same_project = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 2, after(2)).await;
    assert!(leased.iter().all(|leased| leased.batch.terms.task_id == same_project), "{leased:?}");
}

#[tokio::test]
async fn large_task_leaves_places_for_urgent_ones() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..100, start()).await;
    harness.engine.heartbeat(&w, "here", 80, false, start()).await.unwrap();
    harness.submit_and_cut(Submit { targets: 100, ..Submit::default() }).await;
    assert_eq!(ordinals(&harness.lease(&w, 80, start()).await).len(), 76);
    let pulled = harness.engine.lease(&w, 4, after(1)).await.unwrap();
    assert!(pulled.leased.is_empty() && pulled.waits_for_room);
    let urgent = harness.submit_and_cut(Submit { targets: 10, ..Submit::default() }).await;
    let leased = harness.lease(&w, 4, after(2)).await;
    assert!(leased.iter().all(|leased| leased.batch.terms.task_id == urgent), "{leased:?}");
    assert_eq!(ordinals(&leased).len(), 2, "the last two places are for other projects");
    let of_other_project = submit_to_other_project(&harness).await;
    let leased = harness.lease(&w, 2, after(3)).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].batch.terms.task_id, of_other_project);
}

#[tokio::test]
async fn connected_desktop_of_a_full_worker_is_not_undelivered() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let first = harness.lease(&w, 1, start()).await;
    harness.report(&w, &first[0], Outcome::Success, after(10)).await;
    let undelivered = async |seconds: i64| {
        harness.engine.heartbeat(&w, "here", 1, false, after(seconds)).await.unwrap();
        harness.reap(after(seconds)).await;
        harness.waves(task_id).await[0].state.tally.get(Outcome::Undelivered)
    };
    assert_eq!(undelivered(3_600).await, 0, "the delivery timeout is ten minutes");
    let second = harness.lease(&w, 1, after(3_601)).await;
    assert_eq!(ordinals(&second), [1]);
    harness.report(&w, &second[0], Outcome::Success, after(3_610)).await;
    let day = TimeDelta::hours(24).num_seconds();
    assert_eq!(undelivered(day - 1).await, 0);
    assert_eq!(undelivered(day).await, 1, "but at most a day");
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
}

#[tokio::test]
async fn disconnected_desktop_of_a_full_worker_is_undelivered() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    harness.offline_of(&[1], after(5)).await;
    harness.engine.heartbeat(&w, "here", 1, false, after(700)).await.unwrap();
    harness.reap(after(700)).await;
    assert_eq!(harness.waves(task_id).await[0].state.tally.get(Outcome::Undelivered), 1);
    assert_eq!(ordinals(&harness.lease(&w, 9, after(701)).await), [0]);
}
