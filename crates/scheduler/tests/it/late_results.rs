//! Results after the deadline, and started scripts without a result.

use domain::{batching::StartedScript, outcome::Outcome, record::RecordId};
use engine::{DueTimes, ScriptResult};
use scheduler::TargetReport;
use store::{batch::StartedTarget, record};
use testkit::{Submit, project};

use crate::harness::{Harness, after, result, start, worker};

async fn fetch(harness: &Harness, record_id: RecordId) -> record::RecordRow {
    let mut connection = harness.store().acquire().await.unwrap();
    record::fetch(&mut connection, &project(), record_id).await.unwrap().unwrap()
}

#[tokio::test]
async fn first_late_result_is_kept_beside_the_outcome() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 10, after(1)).await;
    let batch_id = leased[0].batch.batch_id;
    let finish_by = leased[0].batch.terms.deadlines.finish_by;
    harness.engine.reap(DueTimes::at(finish_by)).await.unwrap();
    let record_id = RecordId { task_id, ordinal: 0, script: 0, attempt: 1 };
    let before = fetch(&harness, record_id).await;
    assert_eq!((before.outcome(), before.late_result), (Some(Outcome::Unknown), None));
    assert!(before.reason.ends_with("whether a script began is not known"), "{}", before.reason);
    let tallies = "SELECT sum(failed) FROM wave";
    let failed = harness.count(tallies).await;

    let late = |outcome, output: &str| {
        let script = ScriptResult {
            outcome,
            exit_code: Some(3),
            output: output.into(),
            ..result(task_id, None, 0, outcome).scripts[0].clone()
        };
        TargetReport { scripts: vec![script], ..result(task_id, Some(batch_id), 0, outcome) }
    };
    let report = |late| harness.engine.report(&w, vec![late], Vec::new(), finish_by);
    // A result without news is no late result.
    report(late(Outcome::Unknown, "")).await.unwrap();
    for output in ["first", "first", "second"] {
        let answer = report(late(Outcome::Failed, output)).await.unwrap();
        assert!(answer.refused.is_empty() && answer.stored == 0);
    }
    let after = fetch(&harness, record_id).await;
    assert_eq!(after.outcome(), Some(Outcome::Unknown));
    let kept = after.late_result.unwrap();
    assert_eq!((kept.outcome, kept.exit_code, kept.output.as_str()), (Outcome::Failed, Some(3), "first"));
    assert_eq!(kept.received_at, finish_by);
    assert_eq!(harness.count(tallies).await, failed);
}

#[tokio::test]
async fn running_record_has_its_start_and_unknown_names_it() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 10, after(1)).await;
    let batch_id = leased[0].batch.batch_id;
    let started = |ordinal| StartedTarget {
        task_id,
        batch_id,
        ordinal,
        script: StartedScript { script: 0, at: after(2) },
    };
    // Neither another worker nor an ordinal outside of the batch changes anything.
    harness.engine.add_started(&worker("v"), &[started(1)]).await.unwrap();
    harness.engine.add_started(&w, &[started(0), started(7)]).await.unwrap();
    let id = |ordinal| RecordId { task_id, ordinal, script: 0, attempt: 1 };
    assert_eq!(fetch(&harness, id(0)).await.started_at, Some(after(2)));
    assert_eq!(fetch(&harness, id(1)).await.started_at, None);
    // The start outlives the batch and the worker.
    harness.engine.forget_worker(&w, None, after(3)).await.unwrap();
    harness.reap(after(4)).await;
    let finish_by = leased[0].batch.terms.deadlines.finish_by;
    harness.engine.reap(DueTimes::at(finish_by)).await.unwrap();
    let (known, unknown) = (fetch(&harness, id(0)).await, fetch(&harness, id(1)).await);
    assert!(known.reason.ends_with("; script 1 began at 2027-01-15T08:00:02Z"), "{}", known.reason);
    assert_eq!(known.started_at, Some(after(2)));
    assert!(unknown.reason.ends_with("; whether a script began is not known"), "{}", unknown.reason);
}
