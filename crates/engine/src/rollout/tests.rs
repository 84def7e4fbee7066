//! Examples of decisions on hand-written rows.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    batching::Member,
    deadline::Timeouts,
    event::EventKind,
    gate::Results,
    ids::{BatchId, TaskId},
    outcome::Outcome,
    policy::RolloutPolicy,
    tally::Tally,
    task::TaskStatus,
    threshold::Threshold,
    wave::{OtherWaves, WaveState, WaveStatus, WaveTerms},
    wave_start::StartConditions,
};

use super::{Need, Rollout, Targets};
use crate::{
    NoFaults, Snapshot,
    row::{BatchTerms, NewRecord, TargetRow, TaskFacts, WaveRow, WithdrawableBatch},
};

fn task_id() -> TaskId {
    "01890000-0000-7000-8000-000000000001".parse().unwrap()
}

fn batch_id(number: u8) -> BatchId {
    format!("01890000-0000-7000-8000-0000000000{number:02}").parse().unwrap()
}

fn facts() -> TaskFacts {
    TaskFacts {
        project_id: "p1".parse().unwrap(),
        status: TaskStatus::Running,
        killing: false,
        script_count: 1,
        resumes: false,
        attempt: 1,
        timeouts: Timeouts {
            execution: TimeDelta::minutes(10),
            delivery: TimeDelta::minutes(10),
            grace: TimeDelta::seconds(30),
        },
        policy: RolloutPolicy::default(),
        expires_at: None,
        is_paused: false,
        is_frozen: false,
        max_concurrency: None,
        has_project_limit: false,
        trace_context: None,
    }
}

/// Creates an open wave with four admitted targets that halts at its first failure.
fn wave(number: u16, is_last: bool) -> WaveRow {
    WaveRow {
        wave: number,
        first_ordinal: 0,
        cursor: 4,
        state: WaveState {
            status: WaveStatus::Open,
            size: 4,
            admitted: 4,
            waiting: 0,
            tally: Tally::default(),
            failed: 0,
            halting: 0,
            fail_threshold: Some(Threshold::Count(1)),
            is_last,
            others: OtherWaves::default(),
            terms: WaveTerms::default(),
        },
        is_trailing: false,
        record_tally: Tally::default(),
        verdict_reason: None,
        opening: StartConditions::default(),
        approved: None,
        opened_at: None,
        closed_at: None,
    }
}

fn rollout(is_last: bool) -> Rollout<NoFaults> {
    let snapshot = Snapshot { facts: facts(), waves: vec![wave(1, is_last)], settled: Results::default() };
    Rollout::new(NoFaults, task_id(), snapshot, Timestamp::UNIX_EPOCH)
}

fn targets() -> Targets {
    let target = |ordinal: u32| TargetRow {
        ordinal,
        desktop_id: format!("d{ordinal}").parse().unwrap(),
        first_script: 0,
        has_ended: false,
        awaited: None,
        is_resumed: false,
        stop: None,
        presence: None,
        lease: None,
    };
    (0..4).map(|ordinal| (ordinal, target(ordinal))).collect()
}

fn record(ordinal: u32, outcome: Outcome) -> NewRecord {
    let desktop_id = format!("d{ordinal}").parse().unwrap();
    NewRecord::without_result(ordinal, desktop_id, 0, outcome, Timestamp::UNIX_EPOCH, "")
}

fn terms(maybe_delivered: bool) -> BatchTerms {
    let deadlines = facts().deadlines(Timestamp::UNIX_EPOCH);
    BatchTerms {
        task_id: task_id(),
        wave: 1,
        deadlines,
        wait_until: deadlines.deliver_by,
        maybe_delivered,
        worker_deaths: 0,
    }
}

fn member(ordinal: u32) -> Member {
    let desktop_id = format!("d{ordinal}").parse().unwrap();
    Member { ordinal, desktop_id, agent_id: String::new(), started: None }
}

#[test]
fn failure_at_threshold_halts_and_withdraws() {
    let mut rollout = rollout(false);
    rollout.count(&mut targets(), vec![record(0, Outcome::Failed)]);
    assert_eq!(rollout.settle(), Some(Need::ReadyBatches));
    let ready = |number, maybe_delivered| WithdrawableBatch {
        batch_id: batch_id(number),
        wave: 1,
        maybe_delivered,
        size: 1,
    };
    rollout.provide_ready_batches(vec![ready(1, false), ready(2, true)]);
    assert_eq!(rollout.settle(), None);
    let changes = rollout.decide().changes;
    assert_eq!(changes.task.status.map(|(status, _)| status), Some(TaskStatus::Halting));
    assert_eq!(changes.waves[0].state.status, WaveStatus::Halted);
    assert_eq!(changes.waves[0].state.admitted, 3, "the undelivered target is withdrawn");
    assert_eq!((changes.batches.delete, changes.batches.query_only), (vec![batch_id(1)], vec![batch_id(2)]));
    assert!(changes.events.iter().any(|event| event.kind == EventKind::Halted));
}

#[test]
fn halt_withdraws_what_the_same_decision_hands_out() {
    let mut rollout = rollout(false);
    for (ordinal, maybe_delivered) in [(1, false), (2, true)] {
        let presence = crate::row::Presence {
            worker_id: Some("w1".parse().unwrap()),
            is_draining: false,
            time_zone: String::new(),
            agent_id: String::new(),
            boot_id: String::new(),
            agent_version: String::new(),
            changed_at: Timestamp::UNIX_EPOCH,
            full_until: None,
            out_of_service: None,
            has_backlog: false,
        };
        let delivered_to = maybe_delivered.then(String::new);
        let placed = crate::row::deferred::placed(
            &member(ordinal),
            Some(&presence),
            delivered_to,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(rollout.dispatch_to_workers(&terms(maybe_delivered), vec![placed]).targets, 1);
    }
    rollout.defer(&terms(false), None, vec![member(3)]);
    rollout.count(&mut targets(), vec![record(0, Outcome::Failed)]);
    assert_eq!(rollout.settle(), Some(Need::ReadyBatches));
    rollout.provide_ready_batches(Vec::new());
    assert_eq!(rollout.settle(), None);
    let changes = rollout.decide().changes;
    let kept: Vec<(u32, bool)> =
        changes.batches.insert.iter().map(|batch| (batch.members[0].ordinal, batch.query_only)).collect();
    assert_eq!(kept, [(2, true)], "targets that may have been delivered are only queried");
    assert_eq!(changes.deferred.insert, []);
    assert_eq!((changes.waves[0].state.admitted, changes.waves[0].state.waiting), (2, 0));
}

#[test]
fn known_result_changes_no_row() {
    let mut rollout = rollout(false);
    let mut targets = targets();
    targets.get_mut(&0).unwrap().has_ended = true;
    assert!(rollout.count(&mut targets, vec![record(0, Outcome::Failed)]).is_empty());
    assert_eq!(rollout.settle(), None);
    let changes = rollout.decide().changes;
    assert_eq!((changes.waves, changes.records), (Vec::new(), Vec::new()));
}

#[test]
fn result_of_another_desktop_is_left_out() {
    let mut rollout = rollout(false);
    let foreign = NewRecord { desktop_id: "d9".parse().unwrap(), ..record(0, Outcome::Success) };
    let mut targets = targets();
    assert!(rollout.count(&mut targets, vec![foreign]).is_empty());
    assert!(!targets[&0].has_ended);
}

#[test]
fn last_success_of_last_wave_ends_the_task() {
    let mut rollout = rollout(true);
    let records = (0..4).map(|ordinal| record(ordinal, Outcome::Success)).collect();
    assert_eq!(rollout.count(&mut targets(), records), [0, 1, 2, 3]);
    assert_eq!(rollout.settle(), Some(Need::OtherTallies(vec![1])));
    let mut others = Tally::default();
    others.add(Outcome::Failed);
    rollout.provide_other_tallies(others);
    assert_eq!(rollout.settle(), None);
    let changes = rollout.decide().changes;
    assert_eq!(
        changes.task.status.map(|(status, _)| status),
        Some(TaskStatus::Failed),
        "an earlier wave failed"
    );
    assert!(changes.clears_task);
}

#[test]
fn closed_wave_asks_for_the_next_one() {
    let mut rollout = rollout(false);
    let records = (0..4).map(|ordinal| record(ordinal, Outcome::Success)).collect();
    rollout.count(&mut targets(), records);
    assert_eq!(rollout.settle(), Some(Need::NextWave(1)));
    let state = WaveState { status: WaveStatus::Pending, admitted: 0, ..wave(2, true).state };
    rollout.provide_next_wave(Some(WaveRow { first_ordinal: 4, cursor: 0, state, ..wave(2, true) }));
    assert_eq!(rollout.settle(), None);
    let waves = rollout.decide().changes.waves;
    let statuses: Vec<WaveStatus> = waves.iter().map(|row| row.state.status).collect();
    assert_eq!(statuses, [WaveStatus::Closed, WaveStatus::Open]);
}

#[test]
fn release_binaries_carry_no_faults() {
    assert_eq!(size_of::<NoFaults>(), 0);
}
