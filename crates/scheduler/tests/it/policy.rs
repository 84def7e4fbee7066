//! Policies of a task: percentages, thresholds over all waves, weights, strict mode, concurrency.

use domain::{
    ids::TaskId,
    outcome::Outcome,
    policy::{OnHalt, RolloutPolicy, Weight},
    task::TaskStatus,
    threshold::Threshold,
};
use scheduler::{Leased, TargetReport};
use store::TaskRows;
use testkit::Submit;

use crate::harness::{ENGINE, Harness, after, ordinals, results, start, worker};

/// Reports an outcome and an exit code for some targets of a batch.
async fn end(harness: &Harness, leased: &Leased, ordinals: &[u32], outcome: Outcome, exit_code: Option<i32>) {
    let mut reports: Vec<TargetReport> = results(leased, outcome);
    reports.retain(|report| ordinals.contains(&report.ordinal));
    for report in &mut reports {
        report.scripts[0].exit_code = exit_code;
    }
    let answer = harness.engine.report(&worker("w"), reports, Vec::new(), after(1)).await.unwrap();
    assert!(answer.refused.is_empty(), "{:?}", answer.refused);
}

async fn cut(harness: &Harness) {
    while harness.engine.admit_all(after(1)).await.unwrap() {}
}

/// Leases everything that is ready now.
async fn leased(harness: &Harness) -> Vec<Leased> {
    cut(harness).await;
    harness.lease(&worker("w"), 10_000, after(1)).await
}

async fn submit(harness: &Harness, submit: Submit) -> TaskId {
    harness.online(&worker("w"), 0..submit.targets, start()).await;
    harness.submit(submit).await
}

#[tokio::test]
async fn in_strict_mode_no_more_can_ever_fail_than_the_threshold() {
    let harness = Harness::new().await;
    let policy =
        RolloutPolicy { strict: true, fail_threshold: Some(Threshold::Count(3)), ..RolloutPolicy::default() };
    let task_id = submit(&harness, Submit { targets: 50, policy, ..Submit::default() }).await;
    let mut failures = 0;
    // Two succeed and one fails in each round: each failure reduces the room by one target.
    for expected in [3, 2, 1] {
        let mut batches = leased(&harness).await;
        for batch in &batches {
            let all = ordinals(std::slice::from_ref(batch));
            end(&harness, batch, &all[1..], Outcome::Success, Some(0)).await;
        }
        // Each success makes room at once.
        let more = leased(&harness).await;
        batches.extend(more);
        let in_flight = harness.waves(task_id).await[0].state.in_flight();
        assert_eq!(in_flight + failures, 3, "in flight plus failed equals the threshold");
        assert_eq!(in_flight, expected);
        end(&harness, &batches[0], &ordinals(&batches[..1])[..1], Outcome::Failed, Some(1)).await;
        failures += 1;
        let rest = harness.waves(task_id).await[0].state;
        if failures < 3 {
            assert!(rest.failed == failures && rest.admission() == 0);
        }
        for batch in &batches[1..] {
            let all = ordinals(std::slice::from_ref(batch));
            end(&harness, batch, &all, Outcome::Success, Some(0)).await;
        }
    }
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'FAILED'").await, 3);
    assert!(leased(&harness).await.is_empty());
}

async fn set_max_concurrency(harness: &Harness, task_id: TaskId, most: Option<u32>) {
    let mut tx = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut tx);
    let decision = ENGINE.set_max_concurrency(&mut rows, task_id, most, "alice", start()).await.unwrap();
    harness.commit(tx, [decision.unwrap()]).await;
}

#[tokio::test]
async fn max_concurrency_bounds_in_flight_and_can_change() {
    let harness = Harness::new().await;
    let task_id =
        submit(&harness, Submit { targets: 10, max_concurrency: Some(4), ..Submit::default() }).await;
    let first = leased(&harness).await;
    assert_eq!(ordinals(&first).len(), 4);
    assert!(leased(&harness).await.is_empty());
    end(&harness, &first[0], &[0, 1], Outcome::Success, Some(0)).await;
    assert_eq!(ordinals(&leased(&harness).await), [4, 5]);
    set_max_concurrency(&harness, task_id, Some(5)).await;
    assert_eq!(ordinals(&leased(&harness).await), [6]);
    set_max_concurrency(&harness, task_id, None).await;
    assert_eq!(ordinals(&leased(&harness).await), [7, 8, 9]);
}

#[tokio::test]
async fn a_task_that_waits_for_results_keeps_no_other_waiting() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..2, start()).await;
    for _ in 0..101 {
        harness.submit(Submit { targets: 2, max_concurrency: Some(1), ..Submit::default() }).await;
    }
    assert_eq!(ordinals(&leased(&harness).await).len(), 64, "one pull reads at most 64 batches");
    assert_eq!(ordinals(&leased(&harness).await).len(), 37);
    assert!(!harness.engine.admit_all(after(1)).await.unwrap(), "without work there is no next step");
}

#[tokio::test]
async fn the_threshold_of_the_task_counts_all_waves() {
    let harness = Harness::new().await;
    let policy = RolloutPolicy { fail_threshold: Some(Threshold::Count(3)), ..RolloutPolicy::default() };
    let task_id =
        submit(&harness, Submit { targets: 10, gray: Some((4, 3)), policy, ..Submit::default() }).await;
    let canaries = leased(&harness).await;
    let all = ordinals(&canaries);
    end(&harness, &canaries[0], &all[..2], Outcome::Failed, Some(1)).await;
    end(&harness, &canaries[0], &all[2..], Outcome::Success, Some(0)).await;
    let rest = leased(&harness).await;
    assert_eq!(ordinals(&rest).len(), 6, "two failures are below the threshold of three");
    end(&harness, &rest[0], &[5], Outcome::Timeout, None).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Halting);
    let reason = task.halt_reason.unwrap();
    assert_eq!(reason, "3 of 5 targets of all waves failed: the task's fail threshold 3 is reached");
}

#[tokio::test]
async fn a_percentage_halts_when_enough_results_are_in() {
    let harness = Harness::new().await;
    let percent = Threshold::Percent { share: domain::BasisPoints::new(1_000).unwrap(), min_results: 5 };
    let policy = RolloutPolicy { fail_threshold: Some(percent), ..RolloutPolicy::default() };
    let task_id = submit(&harness, Submit { targets: 20, policy, ..Submit::default() }).await;
    let batches = leased(&harness).await;
    end(&harness, &batches[0], &[0, 1], Outcome::Failed, Some(1)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running, "two results are below min_results");
    end(&harness, &batches[0], &[2, 3, 4], Outcome::Success, Some(0)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halting);
}

#[tokio::test]
async fn what_is_ignored_does_not_count_and_a_code_may_halt_at_once() {
    let harness = Harness::new().await;
    let policy = RolloutPolicy {
        outcomes: [(Outcome::Undelivered, Weight::Ignore)].into(),
        exit_codes: [(75, Weight::Ignore), (42, Weight::Halt)].into(),
        on_halt: OnHalt::Kill,
        ..RolloutPolicy::default()
    };
    let task_id =
        submit(&harness, Submit { targets: 6, gray: Some((5, 1)), policy, ..Submit::default() }).await;
    let canaries = leased(&harness).await;
    let all = ordinals(&canaries);
    end(&harness, &canaries[0], &all[..1], Outcome::Failed, Some(75)).await;
    end(&harness, &canaries[0], &all[1..2], Outcome::Undelivered, None).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
    let wave = harness.waves(task_id).await[0].clone();
    assert_eq!((wave.state.failed, wave.state.tally.failed()), (0, 2));
    end(&harness, &canaries[0], &all[2..3], Outcome::Failed, Some(42)).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Halting);
    assert!(task.halt_reason.unwrap().contains("exit code that halts"));
    // Halted with kill: running targets receive the stop.
    assert_eq!(harness.engine.stops(&worker("w")).await.unwrap().len(), 2);
    end(&harness, &canaries[0], &all[3..], Outcome::Stopped, None).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
}

#[tokio::test]
async fn death_by_signal_halts_if_its_exit_code_says_so() {
    let harness = Harness::new().await;
    let policy = RolloutPolicy { exit_codes: [(137, Weight::Halt)].into(), ..RolloutPolicy::default() };
    let task_id =
        submit(&harness, Submit { targets: 6, gray: Some((3, 2)), policy, ..Submit::default() }).await;
    let batch = leased(&harness).await.remove(0);
    end(&harness, &batch, &[0], Outcome::Failed, Some(139)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running, "139 has no weight of its own");
    end(&harness, &batch, &[1], Outcome::Failed, Some(137)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halting);
}
