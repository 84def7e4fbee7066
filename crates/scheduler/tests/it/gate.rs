//! Promise 1: no next wave after a halt.

use domain::{outcome::Outcome, task::TaskStatus, wave::WaveStatus};
use testkit::Submit;

use crate::harness::{Harness, after, ordinals, results, start, worker};

fn gray() -> Submit {
    Submit {
        targets: 20,
        gray: Some((4, 2)),
        execution: chrono::TimeDelta::minutes(10),
        delivery: chrono::TimeDelta::minutes(10),
        grace: chrono::TimeDelta::seconds(30),
        ..Submit::default()
    }
}

#[tokio::test]
async fn a_good_gray_wave_opens_the_rest_and_the_task_succeeds() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..20, start()).await;
    let task_id = harness.submit_and_cut(gray()).await;
    let gray = harness.lease(&w, 100, start()).await;
    assert_eq!(ordinals(&gray), [0, 1, 2, 3], "only the gray wave is leased");
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);

    harness.report(&w, &gray[0], Outcome::Success, after(1)).await;
    assert!(!harness.engine.admit_all(after(1)).await.unwrap());
    let rest = harness.lease(&w, 100, after(1)).await;
    assert_eq!(ordinals(&rest), (4..20).collect::<Vec<_>>());
    harness.report(&w, &rest[0], Outcome::Success, after(2)).await;

    let task = harness.task(task_id).await;
    assert_eq!((task.status, task.ended_at), (TaskStatus::Success, Some(after(2))));
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0, "no batch remains");
}

#[tokio::test]
async fn one_below_the_threshold_goes_on_and_the_task_still_failed() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..20, start()).await;
    let task_id = harness.submit_and_cut(gray()).await;
    let gray = harness.lease(&w, 100, start()).await;
    let mut reports = results(&gray[0], Outcome::Success);
    reports[1].scripts[0].outcome = Outcome::Failed;
    harness.engine.report(&w, reports, Vec::new(), after(1)).await.unwrap();
    assert_eq!(harness.waves(task_id).await[1].state.status, WaveStatus::Open);

    harness.engine.admit_all(after(1)).await.unwrap();
    let rest = harness.lease(&w, 100, after(1)).await;
    harness.report(&w, &rest[0], Outcome::Success, after(2)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
}

#[tokio::test]
async fn reached_threshold_halts_before_the_second_wave_starts() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..20, start()).await;
    let task_id = harness.submit_and_cut(gray()).await;
    let gray = harness.lease(&w, 100, start()).await;
    let mut reports = results(&gray[0], Outcome::Failed);
    let late = reports.split_off(2);
    harness.engine.report(&w, reports, Vec::new(), after(1)).await.unwrap();

    // The report that reached the threshold halts the task, although two targets of the wave still
    // run.
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Halting);
    assert_eq!(task.halt_reason.as_deref(), Some("2 of 4 targets failed: the fail threshold 2 is reached"));
    harness.engine.admit_all(after(1)).await.unwrap();
    harness.reap(after(1)).await;
    assert!(harness.lease(&w, 100, after(1)).await.is_empty());

    harness.engine.report(&w, late, Vec::new(), after(2)).await.unwrap();
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
    harness.engine.admit_all(after(3)).await.unwrap();
    assert!(harness.lease(&w, 100, after(3)).await.is_empty());
    let waves = harness.waves(task_id).await;
    assert_eq!((waves[1].state.status, waves[1].state.admitted), (WaveStatus::Pending, 0));
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE ordinal >= 4").await, 0);
}

#[tokio::test]
async fn a_halt_withdraws_what_nobody_has_pulled_yet() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..18, start()).await;
    harness.offline(18..20, start()).await;
    let task_id = harness.submit_and_cut(Submit { gray: Some((20, 2)), ..gray() }).await;
    // Two targets are leased, sixteen wait in a batch, two are deferred.
    let pulled = harness.lease(&w, 2, start()).await;
    assert_eq!(ordinals(&pulled).len(), 2);
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 2);
    harness.report(&w, &pulled[0], Outcome::Failed, after(1)).await;

    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
    assert!(harness.lease(&w, 100, after(1)).await.is_empty());
    assert_eq!(harness.waves(task_id).await[0].state.admitted, 2);
    assert_eq!(
        harness.count("SELECT count(*) FROM record").await,
        2,
        "targets that never ran have no record"
    );
}

#[tokio::test]
async fn after_a_halt_a_lost_target_is_asked_for_and_must_not_start() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..2, start()).await;
    harness.online(&v, 2..4, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 4, gray: Some((4, 2)), ..gray() }).await;
    let lost = harness.lease(&w, 100, start()).await;
    assert!(!lost[0].batch.query_only);
    let failing = harness.lease(&v, 100, start()).await;
    harness.report(&v, &failing[0], Outcome::Failed, after(1)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halting);

    // The first worker is lost; its desktops connect to another one.
    harness.online(&v, 0..4, after(31)).await;
    harness.reap(after(31)).await;
    let again = harness.lease(&v, 100, after(31)).await;
    assert_eq!(ordinals(&again).len(), 2);
    assert!(again.iter().all(|leased| leased.batch.query_only));
    for leased in &again {
        harness.report(&v, leased, Outcome::Skipped, after(32)).await;
    }
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
}

#[tokio::test]
async fn halt_withdraws_a_batch_that_waits_for_redelivery() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..2, start()).await;
    harness.online(&v, 2..4, start()).await;
    harness.submit_and_cut(Submit { targets: 4, gray: Some((4, 2)), ..gray() }).await;
    assert_eq!(harness.lease(&w, 100, start()).await.len(), 1);
    let failing = harness.lease(&v, 100, start()).await;
    harness.online(&v, 0..4, after(31)).await;
    harness.reap(after(31)).await;
    // The target is batched again for the other worker but not leased; then the failures arrive.
    harness.report(&v, &failing[0], Outcome::Failed, after(32)).await;
    let again = harness.lease(&v, 100, after(32)).await;
    assert!(!again.is_empty() && again.iter().all(|leased| leased.batch.query_only));
}

#[tokio::test]
async fn every_outcome_that_counts_halts() {
    for outcome in Outcome::ALL {
        let harness = Harness::new().await;
        let w = worker("w");
        harness.online(&w, 0..4, start()).await;
        let task_id = harness.submit_and_cut(Submit { targets: 4, gray: Some((2, 1)), ..gray() }).await;
        let gray = harness.lease(&w, 100, start()).await;
        harness.report(&w, &gray[0], outcome, after(1)).await;
        let halted = harness.task(task_id).await.status == TaskStatus::Halted;
        assert_eq!(halted, outcome.counts_as_failure(), "{outcome}");
    }
}

#[tokio::test]
async fn without_a_gray_rule_everything_runs_whatever_fails() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..20, start()).await;
    let task_id = harness.submit_and_cut(Submit { gray: None, ..gray() }).await;
    let all = harness.lease(&w, 100, start()).await;
    assert_eq!(ordinals(&all).len(), 20);
    harness.report(&w, &all[0], Outcome::Failed, after(1)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
}
