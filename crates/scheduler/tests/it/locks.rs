//! Work that waits for a lock: it keeps no worker from living, and nobody waits in a circle.

use std::time::Duration;

use domain::{
    ids::{BatchId, WorkerId},
    outcome::Outcome,
};
use scheduler::{Config, Leased, Scheduler};
use sqlx::{Connection as _, PgConnection};
use store::{PoolOptions, Store};
use testkit::Submit;
use tokio::time::timeout;

use crate::harness::{Harness, after, key, result, results, returned, start, worker};

/// Limit for calls that must not wait: less than the time that a pool waits for a connection.
const SOON: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until this number of connections to the test's database wait for a lock.
async fn until_waiting(harness: &Harness, number: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let reached = async { while harness.count(waiting).await < number {} };
    timeout(PATIENCE, reached).await.unwrap();
}

async fn lock_batch(connection: &mut PgConnection, batch_id: BatchId) {
    sqlx::query("SELECT FROM batch WHERE batch_id = $1 FOR UPDATE")
        .bind(batch_id.0)
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn reports_that_wait_for_a_wave_leave_connections() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let of_other_task = harness.lease(&w, 1, start()).await;
    let options = PoolOptions { liveness_connections: 2, ..PoolOptions::new(&harness.database.url) };
    let scheduler = Scheduler::new(Store::connect(&options).unwrap(), Config::default());

    let mut holder = harness.database.connection().await.unwrap();
    let mut tx = holder.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM wave WHERE task_id = $1 FOR UPDATE").bind(task_id.0);
    lock.execute(&mut *tx).await.unwrap();
    let mut reports = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (scheduler, w, results) = (scheduler.clone(), w.clone(), results(&leased[0], Outcome::Success));
        reports.spawn(async move { scheduler.report(&w, results, Vec::new(), after(1)).await });
    }
    until_waiting(&harness, 2).await;
    timeout(SOON, scheduler.heartbeat(&w, "here", 10, false, after(1))).await.unwrap().unwrap();
    let lost = timeout(SOON, scheduler.renew(&w, &[key(&leased[0])], after(1))).await.unwrap().unwrap();
    assert!(lost.is_empty());
    assert!(timeout(SOON, scheduler.lease(&w, 1, after(1))).await.unwrap().unwrap().leased.is_empty());
    let other = scheduler.report(&w, results(&of_other_task[0], Outcome::Success), Vec::new(), after(1));
    assert_eq!(timeout(SOON, other).await.unwrap().unwrap().stored, 1, "reports of other tasks pass");
    tx.rollback().await.unwrap();
    let answers = timeout(PATIENCE, reports.join_all()).await.unwrap();
    let stored: u32 = answers.into_iter().flatten().map(|answer| answer.stored).sum();
    assert_eq!(stored, 1);
}

/// Leases two batches of one task, in the order of their ids.
async fn two_batches(harness: &Harness, w: &WorkerId) -> Vec<Leased> {
    harness.online(w, 0..2, start()).await;
    harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let mut leased = harness.lease(w, 1, start()).await;
    leased.extend(harness.lease(w, 1, start()).await);
    leased.sort_by_key(|leased| leased.batch.batch_id);
    leased
}

#[tokio::test]
async fn report_locks_batches_in_the_order_of_renewals() {
    let harness = Harness::new().await;
    let w = worker("w");
    let leased = two_batches(&harness, &w).await;
    let [first, last] = &leased[..] else { panic!("two batches") };
    let back = returned(last, last.batch.members[0].ordinal, false);
    // A renewal of both leases, which has locked the first batch.
    let mut renewal = harness.database.connection().await.unwrap();
    let mut tx = renewal.begin().await.unwrap();
    lock_batch(&mut tx, first.batch.batch_id).await;
    let (scheduler, of_first) = (harness.engine.clone(), results(first, Outcome::Success));
    let report = tokio::spawn(async move { scheduler.report(&w, of_first, vec![back], after(1)).await });
    until_waiting(&harness, 1).await;
    timeout(PATIENCE, lock_batch(&mut tx, last.batch.batch_id)).await.unwrap();
    tx.commit().await.unwrap();
    let answer = timeout(PATIENCE, report).await.unwrap().unwrap().unwrap();
    assert_eq!((answer.stored, answer.failed.len()), (1, 0));
}

#[tokio::test]
async fn renewal_that_waits_for_a_batch_locks_no_other() {
    let harness = Harness::new().await;
    let w = worker("w");
    let leased = two_batches(&harness, &w).await;
    let [first, last] = &leased[..] else { panic!("two batches") };
    // A report of the last batch, which then halts the task and marks the first one.
    let mut report = harness.database.connection().await.unwrap();
    let mut tx = report.begin().await.unwrap();
    lock_batch(&mut tx, last.batch.batch_id).await;
    let (scheduler, keys) = (harness.engine.clone(), [key(first), key(last)]);
    let renewal = tokio::spawn(async move { scheduler.renew(&w, &keys, after(10)).await });
    until_waiting(&harness, 1).await;
    timeout(PATIENCE, lock_batch(&mut tx, first.batch.batch_id)).await.unwrap();
    tx.commit().await.unwrap();
    let lost = timeout(PATIENCE, renewal).await.unwrap().unwrap().unwrap();
    assert!(lost.is_empty(), "{lost:?}");
    let renewed = "SELECT count(*) FROM batch WHERE lease_until > leased_at + interval '35 s'";
    assert_eq!(harness.count(renewed).await, 2);
}

#[tokio::test]
async fn journal_results_complete_the_batch_of_their_targets() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..2, start()).await;
    harness.online(&v, 2..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    harness.lease(&w, 10, start()).await;
    let of_v = harness.lease(&v, 10, start()).await;
    assert!(harness.engine.renew(&v, &[key(&of_v[0])], after(20)).await.unwrap().is_empty());
    for live in [&w, &v] {
        harness.engine.heartbeat(live, "here", 10, false, after(31)).await.unwrap();
    }
    // The lease of `w` has ended: its targets are ready again.
    harness.reap(after(31)).await;
    assert_eq!(harness.count("SELECT count(*) FROM batch WHERE maybe_delivered").await, 1);
    let journal = (0..2).map(|ordinal| result(task_id, None, ordinal, Outcome::Success)).collect();
    let answer = harness.engine.report(&w, journal, Vec::new(), after(32)).await.unwrap();
    assert_eq!((answer.stored, answer.refused.len()), (2, 0));
    assert_eq!(harness.count("SELECT count(*) FROM batch WHERE maybe_delivered").await, 0);
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 1, "the third target still runs");
}
