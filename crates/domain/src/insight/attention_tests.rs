use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(second, 0).unwrap()
}

const NOW: i64 = 1_000_000;

fn opening(needs_approval: bool, hold_until: Option<i64>) -> StartConditions {
    StartConditions { needs_approval, hold_until: hold_until.map(at), ..StartConditions::default() }
}

fn pending(opening: &StartConditions) -> CurrentWave<'_> {
    CurrentWave {
        wave: 2,
        status: WaveStatus::Pending,
        size: 40,
        opening,
        previous_closed_at: Some(at(NOW - 60)),
        closed_at: None,
    }
}

fn running() -> TaskState<'static> {
    TaskState {
        status: TaskStatus::Running,
        halt_reason: None,
        is_retried: false,
        paused_at: None,
        frozen_at: None,
        ended_at: None,
        wave: None,
        stragglers: 0,
    }
}

fn kinds(task: &TaskState<'_>) -> Vec<AttentionKind> {
    attention(task, at(NOW)).into_iter().map(|reason| reason.kind).collect()
}

#[test]
fn running_task_asks_for_no_attention() {
    assert_eq!(kinds(&running()), []);
    let opening = opening(false, None);
    assert_eq!(kinds(&TaskState { wave: Some(pending(&opening)), ..running() }), []);
}

#[test]
fn approval_names_the_wave_and_its_targets() {
    let opening = opening(true, None);
    let task = TaskState { wave: Some(pending(&opening)), ..running() };
    let found = attention(&task, at(NOW));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].kind, found[0].wave, found[0].targets),
        (AttentionKind::Approval, Some(2), Some(40))
    );
    assert_eq!((found[0].since, found[0].until), (Some(at(NOW - 60)), None));
    assert_eq!(found[0].sentence, "wave 2 of 40 targets waits for an approval");
}

#[test]
fn approval_before_the_previous_result_is_not_due() {
    let opening = opening(true, None);
    let wave = CurrentWave { previous_closed_at: None, ..pending(&opening) };
    assert_eq!(kinds(&TaskState { wave: Some(wave), ..running() }), []);
    let first = CurrentWave { wave: 1, ..wave };
    assert_eq!(
        kinds(&TaskState { wave: Some(first), status: TaskStatus::Waiting, ..running() }),
        [AttentionKind::Approval]
    );
}

#[test]
fn approved_wave_waits_for_no_person() {
    let opening = StartConditions { is_approved: true, ..opening(true, Some(NOW + 60)) };
    assert_eq!(kinds(&TaskState { wave: Some(pending(&opening)), ..running() }), []);
}

#[test]
fn missing_evidence_ends_at_a_time() {
    let opening = opening(true, Some(NOW + 60));
    let found = attention(&TaskState { wave: Some(pending(&opening)), ..running() }, at(NOW));
    assert_eq!((found[0].kind, found[0].until), (AttentionKind::Holding, Some(at(NOW + 60))));
}

#[test]
fn halted_task_is_shown_until_it_is_retried_or_old() {
    let halted = TaskState {
        status: TaskStatus::Halted,
        ended_at: Some(at(NOW)),
        halt_reason: Some("3 of 10 failed"),
        ..running()
    };
    let found = attention(&halted, at(NOW));
    assert_eq!(found[0].sentence, "the gate halted the rollout: 3 of 10 failed");
    assert_eq!(kinds(&TaskState { is_retried: true, ..halted }), []);
    let old = TaskState { ended_at: Some(at(NOW) - HALTED_SHOWN - TimeDelta::seconds(1)), ..halted };
    assert_eq!(kinds(&old), []);
    assert_eq!(
        kinds(&TaskState { status: TaskStatus::Halting, ended_at: None, ..halted }),
        [AttentionKind::Halted]
    );
}

#[test]
fn frozen_task_waits_for_the_end_of_the_freeze() {
    let task = TaskState { paused_at: Some(at(1)), frozen_at: Some(at(2)), stragglers: 3, ..running() };
    assert_eq!(kinds(&task), [AttentionKind::Stragglers, AttentionKind::Frozen]);
    assert_eq!(kinds(&TaskState { frozen_at: None, stragglers: 0, ..task }), [AttentionKind::Paused]);
    assert_eq!(kinds(&TaskState { status: TaskStatus::Stopped, ended_at: Some(at(3)), ..task }), []);
}

#[test]
fn every_kind_is_read_back_from_its_word() {
    for kind in AttentionKind::ALL {
        assert_eq!(kind.as_str().parse::<AttentionKind>().unwrap(), kind);
    }
}
