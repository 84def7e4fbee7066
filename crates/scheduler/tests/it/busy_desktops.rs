//! Busy desktops: their agents give orders back, and their targets wait in order.

use chrono::TimeDelta;
use domain::{
    ids::{TaskId, WorkerId},
    outcome::Outcome,
};
use scheduler::{Leased, ReturnedTarget};
use testkit::{Submit, desktop, desktop_id, project};

use crate::harness::{Harness, after, returned, start, worker};

fn here() -> WorkerId {
    worker("w")
}

/// Gives the target of desktop 0 back.
async fn give_back(harness: &Harness, leased: &Leased, is_full: bool, second: i64) {
    let returned = vec![ReturnedTarget {
        task_id: leased.batch.terms.task_id,
        batch_id: leased.batch.batch_id,
        ordinal: 0,
        handed: false,
        given_back: true,
        full: is_full.then(|| desktop_id(0)),
    }];
    harness.engine.report(&here(), Vec::new(), returned, after(second)).await.unwrap();
}

/// Reports that desktop 0 has room again.
async fn free(harness: &Harness, second: i64) {
    harness.engine.presence(&here(), &[desktop(0)], &[], after(second)).await.unwrap();
}

fn tasks(leased: &[Leased]) -> Vec<TaskId> {
    leased.iter().map(|leased| leased.batch.terms.task_id).collect()
}

#[tokio::test]
async fn targets_of_a_full_desktop_wait_in_order() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..1, start()).await;
    let first = harness.submit_and_cut(Submit::default()).await;
    let second = harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&here(), 10, after(1)).await;
    assert_eq!(tasks(&leased), [first, second]);
    give_back(&harness, &leased[1], true, 2).await;
    assert!(harness.leased(3).await.is_empty(), "a full desktop gets nothing");
    // A new task must not overtake the second one, neither now nor when the desktop has room.
    let third = harness.submit_and_cut(Submit::default()).await;
    assert!(harness.leased(4).await.is_empty());
    free(&harness, 5).await;
    let fourth = harness.submit_and_cut(Submit::default()).await;
    assert_eq!(tasks(&harness.leased(5).await), [second, third, fourth]);
}

#[tokio::test]
async fn lost_message_of_room_costs_two_minutes() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&here(), 10, after(1)).await;
    give_back(&harness, &leased[0], true, 2).await;
    assert!(harness.leased(121).await.is_empty());
    assert_eq!(harness.leased(122).await.len(), 1);
}

#[tokio::test]
async fn busy_desktop_does_not_use_up_the_delivery_timeout() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let mut leased = harness.lease(&here(), 10, after(1)).await;
    // The agent gives the target back at each of its deadlines.
    for second in [700, 1_400, 2_100] {
        give_back(&harness, &leased[0], false, second).await;
        leased = harness.leased(second).await;
        let deadlines = leased[0].batch.terms.deadlines;
        assert!(!leased[0].batch.terms.maybe_delivered && deadlines.deliver_by > after(second));
    }
    harness.report(&here(), &leased[0], Outcome::Success, after(2_110)).await;
    assert_eq!(harness.task(task_id).await.status, domain::task::TaskStatus::Success);
}

#[tokio::test]
async fn target_waits_a_day_for_a_busy_desktop() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&here(), 10, after(1)).await;
    give_back(&harness, &leased[0], true, 2).await;
    const UNDELIVERED: &str =
        "SELECT count(*) FROM record WHERE outcome = 'UNDELIVERED' AND reason LIKE '%busy%'";
    let day = TimeDelta::hours(24).num_seconds();
    for second in (900..day + 3_600).step_by(900) {
        harness.engine.heartbeat(&here(), "here", 10_000, false, after(second)).await.unwrap();
        let mut connection = harness.database.connection().await.unwrap();
        let statement = "UPDATE desktop SET full_until = $1";
        sqlx::query(statement).bind(after(second + 1_000)).execute(&mut connection).await.unwrap();
        harness.reap(after(second)).await;
        if harness.count(UNDELIVERED).await == 1 {
            assert!((day..day + 1_900).contains(&second), "{second}");
            return;
        }
    }
    panic!("the target never ends");
}

#[tokio::test]
async fn target_waits_a_day_for_a_worker_that_drains() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..1, start()).await;
    harness.engine.heartbeat(&here(), "here", 10_000, true, start()).await.unwrap();
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let day = TimeDelta::hours(24).num_seconds();
    for second in (500..day + 3_600).step_by(500) {
        harness.engine.heartbeat(&here(), "here", 10_000, true, after(second)).await.unwrap();
        harness.reap(after(second)).await;
        if harness.task(task_id).await.status.is_ended() {
            assert!((day..day + 1_900).contains(&second), "{second}");
            return;
        }
    }
    panic!("the target never ends");
}

#[tokio::test]
async fn target_given_back_after_a_reconnect_was_never_started() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&here(), 10, after(1)).await;
    let handed = vec![returned(&leased[0], 0, true)];
    harness.engine.presence(&here(), &[], &[(project(), desktop_id(0))], after(2)).await.unwrap();
    harness.engine.report(&here(), Vec::new(), handed, after(2)).await.unwrap();
    harness.online(&here(), 0..1, after(3)).await;
    let again = harness.leased(4).await;
    assert!(again[0].batch.terms.maybe_delivered);
    give_back(&harness, &again[0], false, 5).await;
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target WHERE maybe_delivered").await, 0);
    assert_eq!(harness.count("SELECT waiting::int8 FROM wave").await, 1);
}
