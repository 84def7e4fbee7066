//! Deadlines: no target waits forever.

use chrono::TimeDelta;
use domain::{outcome::Outcome, task::TaskStatus};
use testkit::Submit;

use crate::harness::{Harness, after, ordinals, start, worker};

/// 60 seconds to be delivered, 10 seconds to run, 5 seconds for the result.
fn short() -> Submit {
    Submit {
        targets: 2,
        gray: None,
        execution: TimeDelta::seconds(10),
        delivery: TimeDelta::seconds(60),
        grace: TimeDelta::seconds(5),
        ..Submit::default()
    }
}

#[tokio::test]
async fn offline_desktop_blocks_no_other_and_ends_undelivered() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.offline(1..2, start()).await;
    let task_id = harness.submit_and_cut(short()).await;
    let leased = harness.lease(&w, 100, start()).await;
    assert_eq!(ordinals(&leased), [0]);
    harness.report(&w, &leased[0], Outcome::Success, after(1)).await;

    harness.reap(after(59)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
    harness.reap(after(60)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
    let tally = harness.waves(task_id).await[0].state.tally;
    assert_eq!((tally.get(Outcome::Success), tally.get(Outcome::Undelivered)), (1, 1));
}

#[tokio::test]
async fn a_desktop_that_comes_back_before_its_deadline_runs() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.offline(0..2, start()).await;
    let task_id = harness.submit_and_cut(short()).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
    harness.online(&w, 0..2, after(59)).await;
    harness.reap(after(59)).await;
    let leased = harness.lease(&w, 100, after(59)).await;
    assert_eq!(ordinals(&leased), [0, 1]);
    harness.report(&w, &leased[0], Outcome::Success, after(65)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn what_was_handed_out_and_never_answered_is_unknown() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(short()).await;
    assert_eq!(ordinals(&harness.lease(&w, 100, start()).await), [0, 1]);
    // The worker dies; its desktops never reconnect.
    harness.reap(after(40)).await;
    harness.reap(after(61)).await;
    assert_eq!(harness.waves(task_id).await[0].state.tally.finished(), 0, "the script may still run");
    // 60 seconds to be delivered, 10 to run, 5 to report.
    harness.reap(after(75)).await;
    assert_eq!(harness.waves(task_id).await[0].state.tally.get(Outcome::Unknown), 2);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
}

#[tokio::test]
async fn undelivered_canaries_halt_the_rollout() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.offline(0..2, start()).await;
    harness.online(&w, 2..6, start()).await;
    let submit = Submit { targets: 6, gray: Some((6, 2)), ..short() };
    let task_id = harness.submit_and_cut(submit).await;
    let leased = harness.lease(&w, 100, start()).await;
    harness.report(&w, &leased[0], Outcome::Success, after(1)).await;
    harness.reap(after(60)).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Halted);
    assert_eq!(task.halt_reason.as_deref(), Some("2 of 6 targets failed: the fail threshold 2 is reached"));
}
