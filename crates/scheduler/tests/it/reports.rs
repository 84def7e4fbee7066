//! A result counts once, no matter which worker reports it or how often, and only for its own
//! target.

use domain::{outcome::Outcome, task::TaskStatus};
use scheduler::TargetReport;
use testkit::{Submit, desktop_id};

use crate::harness::{Harness, after, ordinals, result, results, returned, start, worker};

#[tokio::test]
async fn the_same_report_again_changes_no_count() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..3, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let two: Vec<TargetReport> = results(&leased[0], Outcome::Success).into_iter().take(2).collect();
    let first = harness.engine.report(&w, two.clone(), Vec::new(), after(1)).await.unwrap();
    // The same results from an agent's journal, over another worker and with another outcome: the
    // first result counts.
    let mut other: Vec<TargetReport> =
        two.iter().map(|result| TargetReport { batch_id: None, ..result.clone() }).collect();
    other[0].scripts[0].outcome = Outcome::Failed;
    let again = harness.engine.report(&worker("v"), other, Vec::new(), after(2)).await.unwrap();
    assert_eq!((first.stored, again.stored), (2, 0));
    assert!(again.refused.is_empty(), "a duplicate is not refused");
    let tally = harness.waves(task_id).await[0].state.tally;
    assert_eq!((tally.get(Outcome::Success), tally.finished()), (2, 2));
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running, "the third result is missing");
}

#[tokio::test]
async fn one_report_that_names_a_target_twice_counts_it_once() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let one = results(&leased[0], Outcome::Success).remove(0);
    let answer = harness.engine.report(&w, vec![one.clone(), one], Vec::new(), after(1)).await.unwrap();
    assert_eq!(answer.stored, 1);
    assert_eq!(harness.waves(task_id).await[0].state.tally.finished(), 1);
}

#[tokio::test]
async fn late_report_after_a_reaped_lease_counts_once() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let old = harness.lease(&w, 100, start()).await;
    // The lease expires; by then the desktop is connected to another worker.
    harness.online(&v, 0..1, after(31)).await;
    harness.reap(after(31)).await;
    let new = harness.lease(&v, 100, after(31)).await;
    assert_eq!(ordinals(&new), [0]);
    assert!(new[0].batch.terms.maybe_delivered, "the target may have been delivered before");

    harness.report(&w, &old[0], Outcome::Success, after(32)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
    // The agent answers the redelivered order from its journal.
    harness.report(&v, &new[0], Outcome::Success, after(33)).await;
    assert_eq!(harness.waves(task_id).await[0].state.tally.finished(), 1);
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0);
}

#[tokio::test]
async fn unknown_target_is_refused_and_other_results_are_stored() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..8, start()).await;
    let task_id =
        harness.submit_and_cut(Submit { targets: 8, gray: Some((4, 1)), ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let good = results(&leased[0], Outcome::Success);
    let bad = |change: fn(&mut TargetReport)| {
        let mut report = good[0].clone();
        change(&mut report);
        report
    };
    let foreign = bad(|report| report.project_id = "another".parse().unwrap());
    let stranger = bad(|report| report.desktop_id = "desktop-99".parse().unwrap());
    let attempt = bad(|report| report.attempt = 2);
    let scripts = bad(|report| report.scripts.clear());
    let unadmitted = TargetReport { ordinal: 5, ..good[0].clone() };
    let outside = TargetReport { ordinal: 1_000, ..good[0].clone() };
    for (report, word) in [
        (foreign, "no such task"),
        (stranger, "another desktop"),
        (attempt, "attempt 2"),
        (scripts, "0 script results for 1"),
        (unadmitted, "never admitted"),
        (outside, "never admitted"),
    ] {
        let reports = vec![report, good[1].clone()];
        let answer = harness.engine.report(&w, reports, Vec::new(), after(1)).await.unwrap();
        assert_eq!(answer.refused.len(), 1, "{word}");
        assert!(answer.refused[0].2.contains(word), "{word}: {}", answer.refused[0].2);
    }
    let tally = harness.waves(task_id).await[0].state.tally;
    assert_eq!(tally.finished(), 1, "the valid result in each report is stored");

    let unknown = result(domain::ids::TaskId(uuid::Uuid::nil()), None, 0, Outcome::Success);
    let answer = harness.engine.report(&w, vec![unknown], Vec::new(), after(1)).await.unwrap();
    assert_eq!(answer.refused[0].2, "no such task");
}

#[tokio::test]
async fn result_for_another_desktop_hides_none_of_its_own() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let own = results(&leased[0], Outcome::Failed);
    // A desktop with a copy of the agent's data, so also of its id.
    let lie = TargetReport {
        desktop_id: "desktop-99".parse().unwrap(),
        ..results(&leased[0], Outcome::Success)[0].clone()
    };
    let lies = vec![lie.clone(); 3];
    let answer = harness.engine.report(&w, lies, Vec::new(), after(1)).await.unwrap();
    assert_eq!((answer.stored, answer.refused.len()), (0, 3));
    assert_eq!(harness.count("SELECT sum(reported)::int8 FROM batch").await, 0);
    let answer = harness.engine.report(&w, vec![lie, own[0].clone()], Vec::new(), after(1)).await.unwrap();
    assert_eq!((answer.stored, answer.refused.len()), (1, 1));
    let tally = harness.waves(task_id).await[0].state.tally;
    assert_eq!((tally.finished(), tally.get(Outcome::Failed)), (1, 1));
}

#[tokio::test]
async fn returned_target_is_redelivered_once_its_desktop_is_back() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let batch_id = leased[0].batch.batch_id;
    let gone = [(testkit::project(), desktop_id(0))];
    assert!(harness.engine.presence(&w, &[], &gone, after(1)).await.unwrap().is_some());
    let back = vec![returned(&leased[0], 0, false)];
    harness.engine.report(&w, Vec::new(), back, after(1)).await.unwrap();
    harness.reap(after(2)).await;
    assert!(harness.lease(&w, 100, after(2)).await.is_empty(), "its desktop is disconnected");

    harness.online(&w, 0..1, after(3)).await;
    harness.reap(after(3)).await;
    let again = harness.lease(&w, 100, after(3)).await;
    assert_eq!(ordinals(&again), [0]);
    assert!(!again[0].batch.terms.maybe_delivered, "it was certainly never delivered");
    harness.report(&w, &again[0], Outcome::Success, after(4)).await;
    let rest = result(task_id, Some(batch_id), 1, Outcome::Success);
    harness.engine.report(&w, vec![rest], Vec::new(), after(4)).await.unwrap();
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn a_result_from_a_journal_settles_a_straggler() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 100, start()).await;
    let back = vec![returned(&leased[0], 0, true)];
    harness.engine.report(&w, Vec::new(), back, after(1)).await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target WHERE maybe_delivered").await, 1);
    let journal = result(task_id, None, 0, Outcome::Success);
    harness.engine.report(&worker("v"), vec![journal], Vec::new(), after(2)).await.unwrap();
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 0);
}

#[tokio::test]
async fn report_for_an_unopened_wave_hides_no_gate_failure() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..5, start()).await;
    let gray = Submit { targets: 5, gray: Some((2, 1)), ..Submit::default() };
    let task_id = harness.submit_and_cut(gray).await;
    let leased = harness.lease(&w, 100, start()).await;
    let mut reports = results(&leased[0], Outcome::Failed);
    reports.truncate(1);
    reports.push(TargetReport { desktop_id: desktop_id(4), ..result(task_id, None, 4, Outcome::Success) });
    let answer = harness.engine.report(&w, reports, Vec::new(), after(1)).await.unwrap();
    assert_eq!((answer.stored, answer.refused.len()), (1, 1));
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halting, "the halt commits with the failure");
}

#[tokio::test]
async fn return_in_the_halting_report_is_withdrawn() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..5, start()).await;
    let task_id =
        harness.submit_and_cut(Submit { targets: 5, gray: Some((3, 1)), ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let mut failed = results(&leased[0], Outcome::Failed);
    failed.truncate(1);
    let back = (1..3).map(|ordinal| returned(&leased[0], ordinal, false)).collect();
    harness.engine.report(&w, failed, back, after(1)).await.unwrap();
    let task = harness.task(task_id).await;
    assert_eq!(
        task.status,
        TaskStatus::Halted,
        "targets are still in flight: {:?}",
        harness.waves(task_id).await[0].state
    );
}
