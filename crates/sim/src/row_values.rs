//! Values of rows, made from other rows. Nothing here reads or changes a table.

use domain::{
    batching::Member,
    gate::Results,
    ids::{BatchId, DesktopId},
    wave::WaveStatus,
};
use engine::{
    Duty, DutyKind, StopMark, TaskChange,
    row::{
        BatchRow, DeferredRow, NewBatch, NewDeferred, Presence, ReadyBatch, TargetLease, TargetRow,
        TaskFacts, WaveRow, WithdrawableBatch,
    },
};

/// A new batch, which is ready.
pub(crate) fn new_batch(new: &NewBatch, batch_id: BatchId, has_holder: bool) -> BatchRow {
    let NewBatch { worker_id, terms, members, query_only, suspended, stop } = new.clone();
    BatchRow {
        batch_id,
        terms,
        worker_id,
        epoch: 0,
        lease_until: None,
        has_holder,
        query_only,
        suspended,
        stop,
        members,
    }
}

/// A new deferred target.
pub(crate) fn new_deferred(new: &NewDeferred, stop: Option<u16>, presence: Option<Presence>) -> DeferredRow {
    let NewDeferred { terms, not_before, suspended, member } = new.clone();
    DeferredRow { member, terms, suspended, not_before, stop, presence }
}

/// A ready batch.
pub(crate) fn ready(
    row: &BatchRow,
    facts: &TaskFacts,
    capacity: u32,
    max_running: Option<u16>,
) -> ReadyBatch {
    let bytes = row.members.iter().map(|member| member.desktop_id.as_str().len() + member.agent_id.len());
    ReadyBatch {
        project_id: facts.project_id.clone(),
        task_id: row.terms.task_id,
        batch_id: row.batch_id,
        size: size(row),
        deadlines: row.terms.deadlines,
        delivery: facts.timeouts.delivery,
        may_wait: !row.terms.maybe_delivered && facts.policy.window.is_none(),
        held_by_project: 0,
        held_by_task: 0,
        capacity,
        ids_bytes: u32::try_from(bytes.sum::<usize>()).unwrap_or(u32::MAX),
        worker_deaths: row.terms.worker_deaths,
        max_running,
    }
}

/// A batch that a halt may withdraw.
pub(crate) fn withdrawable(row: &BatchRow) -> WithdrawableBatch {
    let (wave, maybe_delivered) = (row.terms.wave, row.terms.maybe_delivered);
    WithdrawableBatch { batch_id: row.batch_id, wave, maybe_delivered, size: size(row) }
}

fn size(row: &BatchRow) -> u32 {
    u32::try_from(row.members.len()).unwrap_or(u32::MAX)
}

/// A duty that concerns a batch.
pub(crate) fn of_batch(kind: DutyKind, row: &BatchRow) -> Duty {
    let ordinals = row.members.iter().map(|member| member.ordinal).collect();
    Duty { kind, task_id: row.terms.task_id, batch_id: Some(row.batch_id), ordinals }
}

/// A target with its stop, without presence and lease.
pub(crate) fn target(
    (desktop_id, first_script): &(DesktopId, u16),
    ordinal: u32,
    has_ended: bool,
    stop: Option<u16>,
) -> TargetRow {
    let (desktop_id, first_script) = (desktop_id.clone(), *first_script);
    TargetRow {
        ordinal,
        desktop_id,
        first_script,
        has_ended,
        awaited: None,
        is_resumed: false,
        stop,
        presence: None,
        lease: None,
    }
}

/// The lease of a target in a batch.
pub(crate) fn lease(row: &BatchRow, member: &Member) -> TargetLease {
    let (worker_id, agent_id) = (row.worker_id.clone(), member.agent_id.clone());
    TargetLease { batch_id: row.batch_id, worker_id, agent_id }
}

/// Whether a wave can still change.
pub(crate) fn is_live(row: &WaveRow) -> bool {
    row.is_trailing || row.state.status != WaveStatus::Closed
}

/// The sums of waves that cannot change any more.
pub(crate) fn results<'a>(rows: impl Iterator<Item = &'a WaveRow>) -> Results {
    let mut sum = Results::default();
    for row in rows {
        sum.finished += row.state.size;
        sum.failed += row.state.failed;
    }
    sum
}

/// Whether a mark of stopped targets concerns a batch.
pub(crate) fn is_marked(mark: StopMark, row: &BatchRow) -> bool {
    match mark {
        StopMark::Nothing => false,
        StopMark::Target(ordinal) => row.members.iter().any(|member| member.ordinal == ordinal),
        StopMark::All => true,
    }
}

/// Changes a task.
pub(crate) fn change_task(facts: &mut TaskFacts, change: &TaskChange) {
    if let Some((status, _)) = &change.status {
        facts.status = *status;
    }
    facts.killing |= change.is_killed;
    if let Some(pause) = &change.pause {
        facts.is_paused = pause.is_some();
    }
    if let Some(most) = change.max_concurrency {
        facts.max_concurrency = most;
    }
}
