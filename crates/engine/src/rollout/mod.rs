//! The working copy of one task: its locked rows, the decisions on them, and the resulting changes.

mod count;
mod dispatch;
mod rules;
mod settle;
mod stops;
#[cfg(test)]
mod tests;
mod withdraw;

use std::collections::{BTreeMap, HashSet};

use domain::{
    Timestamp,
    event::EventKind,
    gate::Results,
    ids::TaskId,
    tally::Tally,
    task::TaskStatus,
    wave::{WaveStatus, refresh_totals},
};
pub(crate) use settle::Need;

use crate::{
    Changes, Decision, Effect, Faults, NewEvent, Rule, Snapshot, Wake,
    row::{NewRecord, TargetRow, TaskFacts, WaveRow, WithdrawableBatch},
};

/// Targets by ordinal.
pub(crate) type Targets = BTreeMap<u32, TargetRow>;

/// The working copy of one task.
#[derive(Debug)]
pub(crate) struct Rollout<F> {
    faults: F,
    pub(crate) now: Timestamp,
    pub(crate) facts: TaskFacts,
    /// Waves that can still change, by number.
    pub(crate) waves: Vec<WaveRow>,
    /// The same waves as they were loaded.
    stored: Vec<WaveRow>,
    settled: Results,
    /// The wave after the current one. Loaded when a wave closes.
    next_wave: Option<WaveRow>,
    /// Sum of the tallies of all other waves. Loaded when the last wave finishes.
    other_tallies: Option<Tally>,
    /// Ready batches of the task. Loaded when the task is cut short.
    ready: Option<Vec<WithdrawableBatch>>,
    /// Ids of the fingerprints that the task's failures have.
    pub(crate) fingerprint_ids: HashSet<i64>,
    /// Results before a reboot, by the ordinal of the target, as far as they were read.
    pub(crate) kept_results: BTreeMap<u32, Vec<NewRecord>>,
    /// Ordinals of targets that a person stopped, as far as they were read.
    stopped: HashSet<u32>,
    /// Whether targets ended since the last settling.
    has_counted: bool,
    /// Whether the operation ended any target.
    has_results: bool,
    /// Whether the operation withdrew any target.
    has_withdrawn: bool,
    /// Whether deferred targets changed, which a quorum depends on.
    has_deferred: bool,
    changes: Changes,
    effects: Vec<Effect>,
}

impl<F: Faults> Rollout<F> {
    pub(crate) fn new(faults: F, task_id: TaskId, snapshot: Snapshot, now: Timestamp) -> Self {
        let Snapshot { facts, mut waves, settled } = snapshot;
        let stored = waves.clone();
        for row in &mut waves {
            // The task's row is read after the waves are locked: a person may have changed the
            // limit in between.
            row.state.terms.max_concurrency = facts.max_concurrency;
        }
        let changes = Changes::new(task_id, facts.project_id.clone(), facts.attempt, now);
        let mut rollout = Self {
            faults,
            now,
            facts,
            waves,
            stored,
            settled,
            next_wave: None,
            other_tallies: None,
            ready: None,
            fingerprint_ids: HashSet::new(),
            kept_results: BTreeMap::new(),
            stopped: HashSet::new(),
            has_counted: false,
            has_results: false,
            has_withdrawn: false,
            has_deferred: false,
            changes,
            effects: Vec::new(),
        };
        rollout.refresh_totals();
        rollout
    }

    pub(crate) const fn task_id(&self) -> TaskId {
        self.changes.task_id
    }

    pub(crate) fn breaks(&self, rule: Rule) -> bool {
        self.faults.breaks(rule)
    }

    pub(crate) const fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn event(&mut self, event: NewEvent) {
        self.changes.events.push(event);
    }

    pub(crate) fn wake(&mut self, wake: Wake) {
        self.changes.wakes.insert(wake);
    }

    /// Updates each wave's totals over the other waves. Must run after each change and before a
    /// rule is evaluated.
    pub(crate) fn refresh_totals(&mut self) {
        refresh_totals(self.settled, self.waves.iter_mut().map(|row| &mut row.state));
    }

    /// Returns the current wave: the first wave that is not closed. `None` when the task has ended.
    pub(crate) fn current(&mut self) -> Option<&mut WaveRow> {
        self.waves.iter_mut().find(|row| row.state.status != WaveStatus::Closed)
    }

    /// Returns the wave whose hold without evidence is over; `None` if no hold is over.
    pub(crate) fn overlong_hold(&mut self) -> Option<u16> {
        let (now, admits_no_more) = (self.now, self.facts.status.admits_no_more());
        self.current().filter(|row| row.is_hold_over(now) && !admits_no_more).map(|row| row.wave)
    }

    /// Returns a wave by number; `None` when it cannot change any more.
    pub(crate) fn wave(&mut self, wave: u16) -> Option<&mut WaveRow> {
        self.waves.iter_mut().find(|row| row.wave == wave)
    }

    /// Remembers a target's stop, if it has one.
    pub(crate) fn note_stop(&mut self, ordinal: u32, stop: Option<u16>) {
        if stop.is_some() {
            self.stopped.insert(ordinal);
        }
    }

    /// Remembers which of these targets a person stopped.
    pub(crate) fn note_stops(&mut self, targets: &[TargetRow]) {
        targets.iter().for_each(|target| self.note_stop(target.ordinal, target.stop));
    }

    /// Changes the task's status, unless the task has ended.
    fn set_status(&mut self, status: TaskStatus, reason: Option<&str>) {
        if self.facts.status.is_ended() {
            return;
        }
        self.facts.status = status;
        let reason = reason
            .map(str::to_owned)
            .or_else(|| self.changes.task.status.take().and_then(|(_, reason)| reason));
        self.changes.task.status = Some((status, reason));
    }

    /// Ends the task and clears its remaining work.
    fn end(&mut self, status: TaskStatus) {
        if self.facts.status.is_ended() {
            return;
        }
        self.set_status(status, None);
        self.changes.clears_task = true;
        self.changes.batches.insert.clear();
        self.changes.deferred.insert.clear();
        self.event(NewEvent::of_task(EventKind::Ended, "", status.as_str()));
        self.effect(Effect::Ended { status });
    }

    /// Returns the decision: every wave that differs from its stored row, and all other changes.
    pub(crate) fn decide(mut self) -> Decision {
        let stored = &self.stored;
        let is_changed = |row: &&WaveRow| {
            stored.iter().find(|stored| stored.wave == row.wave).is_none_or(|stored| !is_same(stored, row))
        };
        self.changes.waves = self.waves.iter().filter(is_changed).cloned().collect();
        Decision { changes: self.changes, effects: self.effects }
    }
}

/// Returns whether two rows of a wave are equal in their stored columns. State that is derived from
/// other waves and the task is not stored with the wave.
fn is_same(stored: &WaveRow, row: &WaveRow) -> bool {
    let state =
        domain::wave::WaveState { others: stored.state.others, terms: stored.state.terms, ..row.state };
    *stored == WaveRow { state, ..row.clone() }
}
