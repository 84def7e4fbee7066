//! Stops of a task and of one target: no target is admitted, running scripts receive the stop, and
//! every target ends once.

use chrono::TimeDelta;
use domain::{ids::TaskId, outcome::Outcome, task::TaskStatus, wave::WaveStatus};
use engine::{LeaseRows as _, row::LeaseChoice};
use scheduler::Leased;
use store::TaskRows;
use testkit::Submit;

use crate::harness::{ENGINE, Harness, after, ordinals, result, returned, start, worker};

async fn stop_task(harness: &Harness, task_id: TaskId, kill: bool, seconds: i64) {
    let mut tx = harness.store().begin().await.unwrap();
    let (mut rows, reason) = (TaskRows::new(&mut tx), "stopped by a test");
    let decision =
        ENGINE.stop_task(&mut rows, task_id, kill, "a-test", reason, after(seconds)).await.unwrap();
    harness.commit(tx, decision).await;
}

async fn stop_target(harness: &Harness, task_id: TaskId, ordinal: u32, seconds: i64) {
    let mut tx = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut tx);
    let decision = ENGINE.stop_target(&mut rows, task_id, ordinal, 0, after(seconds)).await.unwrap();
    harness.commit(tx, decision).await;
}

/// Ordinals of the stops that the worker receives.
async fn pending_stops(harness: &Harness, name: &str) -> Vec<u32> {
    let mut pending_stops: Vec<u32> =
        harness.engine.stops(&worker(name)).await.unwrap().iter().map(|stop| stop.ordinal).collect();
    pending_stops.sort_unstable();
    pending_stops
}

async fn outcomes(harness: &Harness) -> Vec<(i32, String)> {
    let mut connection = harness.database.connection().await.unwrap();
    sqlx::query_as("SELECT ordinal, outcome::text FROM record ORDER BY ordinal")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_task_that_nobody_cut_yet_is_over_at_once() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..2, start()).await;
    let task_id = harness.submit(Submit { targets: 2, ..Submit::default() }).await;
    stop_task(&harness, task_id, true, 1).await;
    let task = harness.task(task_id).await;
    assert_eq!((task.status, task.ended_at), (TaskStatus::Stopped, Some(after(1))));
    assert_eq!(task.halt_reason.as_deref(), Some("stopped by a test"));
    assert!(!harness.engine.admit(task_id, after(2)).await.unwrap());
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0);
    // Repeating the stop, or stopping in the other mode, changes nothing.
    stop_task(&harness, task_id, false, 3).await;
    assert_eq!(harness.task(task_id).await, task);
}

#[tokio::test]
async fn stop_is_repeated_until_scripts_end_and_none_starts() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..4, start()).await;
    harness.offline(4..6, start()).await;
    let task_id =
        harness.submit_and_cut(Submit { targets: 6, gray: Some((5, 4)), ..Submit::default() }).await;
    let leased: Vec<Leased> = harness.lease(&w, 2, start()).await;
    assert_eq!(leased.len(), 1);
    let running = ordinals(&leased);
    assert!(pending_stops(&harness, "w").await.is_empty());

    stop_task(&harness, task_id, true, 1).await;
    assert_eq!(pending_stops(&harness, "w").await, running);
    assert_eq!(pending_stops(&harness, "w").await, running, "stops are repeated");
    assert!(harness.lease(&w, 10, after(1)).await.is_empty(), "ready batches are withdrawn");
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 0);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Stopping);
    assert_eq!(harness.waves(task_id).await[0].state.status, WaveStatus::Stopped);

    harness.report(&w, &leased[0], Outcome::Stopped, after(2)).await;
    assert!(pending_stops(&harness, "w").await.is_empty());
    let task = harness.task(task_id).await;
    assert_eq!((task.status, task.ended_at), (TaskStatus::Stopped, Some(after(2))));
    assert_eq!(harness.waves(task_id).await[1].state.admitted, 0, "the second wave never opened");
    assert_eq!(outcomes(&harness).await.len(), 2);
}

#[tokio::test]
async fn a_drained_task_lets_what_runs_end_by_itself() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 1, start()).await;
    stop_task(&harness, task_id, false, 1).await;
    assert!(pending_stops(&harness, "w").await.is_empty());
    // The operator then chooses kill.
    stop_task(&harness, task_id, true, 2).await;
    assert_eq!(pending_stops(&harness, "w").await, ordinals(&leased));
    harness.report(&w, &leased[0], Outcome::Success, after(3)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Stopped);
}

#[tokio::test]
async fn next_worker_stops_scripts_of_a_lost_worker() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    assert_eq!(harness.lease(&w, 10, start()).await.len(), 1);
    stop_task(&harness, task_id, true, 1).await;
    harness.engine.forget_worker(&w, None, after(2)).await.unwrap();
    harness.online(&v, 0..1, after(2)).await;
    harness.reap(after(3)).await;
    let again = harness.lease(&v, 10, after(3)).await;
    assert!(again[0].batch.query_only, "the order only queries the journal");
    assert_eq!(pending_stops(&harness, "v").await, [0], "a running script is stopped");
    harness.report(&v, &again[0], Outcome::Stopped, after(4)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Stopped);
}

#[tokio::test]
async fn stopped_halted_task_stays_halted_and_kills_scripts() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..4, start()).await;
    let task_id =
        harness.submit_and_cut(Submit { targets: 4, gray: Some((2, 1)), ..Submit::default() }).await;
    let leased = harness.lease(&w, 2, start()).await;
    let member = &leased[0].batch.members[0];
    let failed = scheduler::TargetReport {
        desktop_id: member.desktop_id.clone(),
        ..result(task_id, Some(leased[0].batch.batch_id), member.ordinal, Outcome::Failed)
    };
    harness.engine.report(&w, vec![failed], Vec::new(), after(1)).await.unwrap();
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halting);
    assert!(pending_stops(&harness, "w").await.is_empty());
    stop_task(&harness, task_id, true, 2).await;
    assert_eq!(pending_stops(&harness, "w").await, [1]);
    harness.report(&w, &leased[0], Outcome::Stopped, after(3)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
}

#[tokio::test]
async fn one_target_is_stopped_wherever_it_is() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..4, start()).await;
    harness.offline(4..5, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 5, ..Submit::default() }).await;
    let leased = harness.lease(&w, 2, start()).await;
    assert_eq!(ordinals(&leased), [0, 1]);
    // Leased, in a ready batch and deferred; each stop is sent twice.
    for ordinal in [1, 3, 4, 1, 3] {
        stop_target(&harness, task_id, ordinal, 1).await;
    }
    let stopped = |ordinal| (ordinal, "STOPPED".to_owned());
    assert_eq!(outcomes(&harness).await, [stopped(3), stopped(4)], "unstarted targets end at once");
    assert_eq!(pending_stops(&harness, "w").await, [1]);
    let rest = harness.lease(&w, 10, after(1)).await;
    assert_eq!(ordinals(&rest), [2]);
    harness.report(&w, &rest[0], Outcome::Success, after(2)).await;
    let results = [(0, Outcome::Success), (1, Outcome::Stopped)]
        .map(|(ordinal, outcome)| result(task_id, Some(leased[0].batch.batch_id), ordinal, outcome));
    harness.engine.report(&w, results.to_vec(), Vec::new(), after(3)).await.unwrap();
    let task = harness.task(task_id).await;
    assert_eq!((task.status, task.ended_at), (TaskStatus::Failed, Some(after(3))));
    for table in ["SELECT count(*) FROM batch", "SELECT count(*) FROM target_stop"] {
        assert_eq!(harness.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_target_that_is_stopped_before_its_wave_opens_never_starts() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..4, start()).await;
    let task_id =
        harness.submit_and_cut(Submit { targets: 4, gray: Some((2, 1)), ..Submit::default() }).await;
    stop_target(&harness, task_id, 3, 1).await;
    let canaries = harness.lease(&w, 10, start()).await;
    harness.report(&w, &canaries[0], Outcome::Success, after(2)).await;
    while harness.engine.admit(task_id, after(3)).await.unwrap() {}
    assert_eq!(outcomes(&harness).await.last().unwrap(), &(3, "STOPPED".to_owned()));
    let rest = harness.lease(&w, 10, after(3)).await;
    assert_eq!(ordinals(&rest), [2]);
    harness.report(&w, &rest[0], Outcome::Success, after(4)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
    assert_eq!(harness.waves(task_id).await[1].state.in_flight(), 0);
}

#[tokio::test]
async fn a_stopped_target_that_was_lost_is_only_asked_for() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    harness.lease(&w, 10, start()).await;
    harness.engine.forget_worker(&w, None, after(1)).await.unwrap();
    harness.online(&v, 0..2, after(1)).await;
    harness.reap(after(1)).await;
    stop_target(&harness, task_id, 1, 2).await;
    let again = harness.lease(&v, 10, after(3)).await;
    assert!(!again[0].batch.query_only);
    assert_eq!(again[0].stops, [(1, 0)].into());
    assert_eq!(pending_stops(&harness, "v").await, [1]);
}

#[tokio::test]
async fn stops_and_cuts_at_once_leave_nothing_behind() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..300, start()).await;
    for round in 0..10 {
        let task_id = harness.submit(Submit { targets: 300, ..Submit::default() }).await;
        let cutting = async {
            while harness.engine.admit(task_id, after(round)).await.unwrap() {}
            harness.lease(&w, 100, after(round)).await
        };
        let (leased, ()) = tokio::join!(cutting, stop_task(&harness, task_id, true, round));
        for leased in &leased {
            harness.report(&w, leased, Outcome::Stopped, after(round)).await;
        }
        let late = after(round) + TimeDelta::hours(1);
        harness.reap(late).await;
        assert_eq!(harness.task(task_id).await.status, TaskStatus::Stopped, "round {round}");
        assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0);
        harness.online(&w, 0..300, after(round)).await;
    }
}

#[tokio::test]
async fn unstarted_target_returned_after_a_stop_ends_stopped() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..3, start()).await;
    let task_id =
        harness.submit_and_cut(Submit { targets: 3, gray: Some((2, 1)), ..Submit::default() }).await;
    let leased = harness.lease(&w, 10, start()).await;
    stop_target(&harness, task_id, 1, 1).await;
    let back = vec![returned(&leased[0], 1, false)];
    harness.engine.report(&w, Vec::new(), back, after(2)).await.unwrap();
    assert_eq!(outcomes(&harness).await, [(1, "STOPPED".to_owned())]);
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 0);
}

/// A lease splits a batch while the task is stopped: its part receives the stop, the rest is
/// withdrawn.
#[tokio::test]
async fn stop_behind_a_lease_withdraws_the_remaining_targets() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..10, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 10, ..Submit::default() }).await;
    let mut leasing = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut leasing);
    let (ready, _) = rows.lock_leasable(&w, start(), false, 10).await.unwrap();
    let choice =
        LeaseChoice { task_id, batch_id: ready[0].batch_id, part: Some(4), later: TimeDelta::zero() };
    rows.lease(&[choice], start(), after(30)).await.unwrap();
    let stopping = stop_task(&harness, task_id, true, 1);
    let committing = async {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
                               WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while harness.count(WAITING).await == 0 {
            tokio::task::yield_now().await;
        }
        harness.store().commit(leasing).await.unwrap();
    };
    tokio::join!(stopping, committing);
    assert!(harness.lease(&w, 10, after(2)).await.is_empty(), "no target is left to start");
    assert_eq!(pending_stops(&harness, "w").await, [0, 1, 2, 3]);
    assert_eq!(harness.waves(task_id).await[0].state.in_flight(), 4);
}
