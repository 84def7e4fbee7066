//! Reads the effects of a transaction from its changes.

use std::collections::BTreeSet;

use domain::{event::EventKind, task::TaskStatus, wave::WaveStatus};
use engine::{Changes, row::NewRecord};

use super::{effect::Effect, event::ScriptOutcome};
use crate::memory::TaskTable;

/// Effects of changes on the rows before the transaction. Results come before their consequences.
pub(super) fn observe(table: &TaskTable, changes: &Changes) -> Vec<Effect> {
    let mut seen = Vec::new();
    admitted(table, changes, &mut seen);
    placed(table, changes, &mut seen);
    let by_target = changes.records.chunk_by(|one, next| one.ordinal == next.ordinal);
    awaited(changes, &mut seen);
    seen.extend(by_target.map(recorded));
    ended_waves(table, changes, &mut seen);
    seen.extend(changes.events.iter().filter_map(|event| cut_short(event.kind)));
    withdrawn(table, changes, &mut seen);
    let status = changes.task.status.as_ref().map(|(status, _)| *status);
    seen.extend(status.filter(|status| status.is_ended()).map(|status| Effect::TaskEnded { status }));
    seen
}

fn admitted(table: &TaskTable, changes: &Changes, seen: &mut Vec<Effect>) {
    for row in &changes.waves {
        let before = table.wave(row.wave).map_or(0, |before| before.cursor);
        if row.cursor > before {
            let first = row.first_ordinal + before;
            seen.push(Effect::Admitted { wave: row.wave, first, number: row.cursor - before });
        }
    }
}

/// Targets that were deferred and not in flight, and are in batches from now on.
fn placed(table: &TaskTable, changes: &Changes, seen: &mut Vec<Effect>) {
    let waited = |ordinal: &&u32| table.deferred.get(ordinal).is_some_and(|row| !row.terms.maybe_delivered);
    let waited: BTreeSet<u32> = changes.deferred.delete.iter().filter(waited).copied().collect();
    if waited.is_empty() {
        return;
    }
    let members = changes.batches.insert.iter().flat_map(|batch| &batch.members);
    let ordinals: Vec<u32> =
        members.map(|member| member.ordinal).filter(|ordinal| waited.contains(ordinal)).collect();
    if !ordinals.is_empty() {
        seen.push(Effect::LocatedTarget { ordinals });
    }
}

/// Targets that wait for their desktops from now on, and those that continue.
fn awaited(changes: &Changes, seen: &mut Vec<Effect>) {
    seen.extend(changes.awaited.resume.iter().map(|&ordinal| Effect::Resumed { ordinal }));
    seen.extend(changes.awaited.insert.iter().map(|new| Effect::Awaited {
        ordinal: new.ordinal,
        until: new.return_by,
        scripts: scripts(&new.records),
    }));
}

fn recorded(records: &[NewRecord]) -> Effect {
    let ordinal = records.first().map_or(0, |record| record.ordinal);
    Effect::Recorded { ordinal, scripts: scripts(records) }
}

/// Outcomes of the scripts of a target, by its records.
pub(super) fn scripts(records: &[NewRecord]) -> Vec<ScriptOutcome> {
    records.iter().map(|record| (record.outcome, record.exit_code)).collect()
}

fn ended_waves(table: &TaskTable, changes: &Changes, seen: &mut Vec<Effect>) {
    for row in &changes.waves {
        let Some(before) = table.wave(row.wave) else { continue };
        let is_closed = |status| status == WaveStatus::Closed;
        if is_closed(row.state.status) && !is_closed(before.state.status) {
            seen.push(Effect::Closed { wave: row.wave });
        }
    }
    for row in &changes.waves {
        let is_new = table.wave(row.wave).is_some_and(|before| before.opened_at.is_none());
        if let Some(now) = row.opened_at.filter(|_| is_new) {
            seen.push(Effect::Opened { wave: row.wave, now });
        }
    }
}

const fn cut_short(kind: EventKind) -> Option<Effect> {
    match kind {
        EventKind::Halted => Some(Effect::CutShort { status: TaskStatus::Halting }),
        EventKind::Stopped | EventKind::Expired => Some(Effect::CutShort { status: TaskStatus::Stopping }),
        _ => None,
    }
}

/// Targets without a record that were in a batch, deferred or just admitted, and are in no place
/// afterwards.
fn withdrawn(table: &TaskTable, changes: &Changes, seen: &mut Vec<Effect>) {
    let mut gone: BTreeSet<u32> = BTreeSet::new();
    for effect in seen.iter() {
        if let Effect::Admitted { first, number, .. } = effect {
            gone.extend(*first..first + number);
        }
    }
    let members = |batch_id| table.batches.get(batch_id).into_iter().flat_map(|it| &it.row.members);
    let deleted = changes.batches.delete.iter().chain(changes.batches.keep.iter().map(|(id, _)| id));
    gone.extend(deleted.flat_map(members).map(|member| member.ordinal));
    gone.extend(changes.deferred.delete.iter().filter(|ordinal| table.deferred.contains_key(ordinal)));
    let left = changes.awaited.delete.iter().chain(&changes.awaited.resume);
    gone.extend(left.filter(|ordinal| table.awaited(**ordinal).is_some()));
    let withdrawn = table
        .deferred
        .iter()
        .filter(|(_, row)| !row.terms.maybe_delivered && changes.deferred.withdraw.contains(&row.terms.wave));
    gone.extend(withdrawn.map(|(ordinal, _)| ordinal));
    if gone.is_empty() {
        return;
    }
    let is_kept = |batch_id| !changes.batches.delete.contains(batch_id);
    let kept = changes.batches.keep.iter().filter(|(batch_id, _)| is_kept(batch_id));
    let kept = kept.flat_map(|(_, members)| members);
    let batched = changes.batches.insert.iter().flat_map(|batch| &batch.members);
    let deferred = changes.deferred.insert.iter().map(|new| &new.member);
    for member in kept.chain(batched).chain(deferred) {
        gone.remove(&member.ordinal);
    }
    for record in &changes.records {
        gone.remove(&record.ordinal);
    }
    for new in &changes.awaited.insert {
        gone.remove(&new.ordinal);
    }
    let leaves =
        |ordinal: &u32| changes.awaited.delete.contains(ordinal) || changes.awaited.resume.contains(ordinal);
    gone.retain(|ordinal| table.awaited(*ordinal).is_none() || leaves(ordinal));
    gone.retain(|&ordinal| !table.has_ended(ordinal));
    if !gone.is_empty() {
        seen.push(Effect::Withdrawn { ordinals: gone.into_iter().collect() });
    }
}
