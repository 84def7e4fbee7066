//! Counts outcomes: each target once, however often a result is reported.

use std::collections::BTreeMap;

use domain::{
    batching::Member,
    fingerprint::{Fingerprint, fingerprint, sample, within_limit},
    outcome::Outcome,
    policy::Weight,
    record::{self, DONE_EARLIER_REASON},
};

use super::{Rollout, Targets};
use crate::{Effect, FailureCount, Faults, Rule, row::NewRecord};

impl<F: Faults> Rollout<F> {
    /// Stores and counts the records of targets that have none yet. Skips records of a desktop
    /// other than the target's. Returns the ordinals of the targets that ended.
    pub(crate) fn count(&mut self, targets: &mut Targets, records: Vec<NewRecord>) -> Vec<u32> {
        let mut by_target: BTreeMap<u32, Vec<NewRecord>> = BTreeMap::new();
        for record in records {
            by_target.entry(record.ordinal).or_default().push(record);
        }
        let mut ended = Vec::new();
        for (ordinal, mut records) in by_target {
            let Some(target) = targets.get_mut(&ordinal) else { continue };
            records.retain(|record| record.desktop_id == target.desktop_id);
            if records.is_empty() {
                continue;
            }
            let is_known = std::mem::replace(&mut target.has_ended, true);
            if std::mem::take(&mut target.is_resumed) {
                self.changes.awaited.delete.push(ordinal);
                self.restore_kept(ordinal, &mut records);
            }
            for record in records.iter_mut().filter(|record| record.script < target.first_script) {
                done_earlier(record);
            }
            records.sort_unstable_by_key(|record| record.script);
            if self.count_target(ordinal, records, is_known) {
                ended.push(ordinal);
            }
        }
        self.has_counted |= !ended.is_empty();
        self.has_results |= !ended.is_empty();
        ended
    }

    /// Counts one target. Returns false when its result is already stored.
    fn count_target(&mut self, ordinal: u32, mut records: Vec<NewRecord>, is_known: bool) -> bool {
        if is_known {
            self.effect(Effect::KnownResult { ordinal });
            if self.breaks(Rule::LastWordWins) {
                self.changes.records.append(&mut records);
                return false;
            }
            if !self.breaks(Rule::CountTwice) {
                return false;
            }
        }
        let decider = records.iter().find(|record| record.outcome != Outcome::Success);
        let outcome = Outcome::of_target(records.iter().map(|record| record.outcome));
        let weight = self.weigh(outcome, decider.and_then(|record| record.exit_code));
        let Some(row) = self.waves.iter_mut().find(|row| row.has(ordinal)) else { return false };
        let wave = row.wave;
        row.state.tally.add(outcome);
        row.state.failed += u32::from(weight != Weight::Ignore);
        row.state.halting += u32::from(weight == Weight::Halt);
        records.iter().for_each(|record| row.record_tally.add(record.outcome));
        if !is_known {
            self.store(wave, records);
        }
        true
    }

    /// Restores the results that a target had before a reboot. They are acknowledged, so neither a
    /// later result nor the lack of one changes them.
    fn restore_kept(&self, ordinal: u32, records: &mut [NewRecord]) {
        let kept = self.kept_results.get(&ordinal).map_or(&[][..], Vec::as_slice);
        for record in records {
            if let Some(kept) = kept.get(usize::from(record.script)) {
                *record = kept.clone();
            }
        }
    }

    fn store(&mut self, wave: u16, mut records: Vec<NewRecord>) {
        for record in &mut records {
            if let Some(fingerprint) = self.fingerprint_of(record) {
                record.fingerprint_id = Some(fingerprint.id);
                self.count_failure(wave, record, fingerprint);
            }
        }
        self.changes.records.append(&mut records);
    }

    /// Returns the fingerprint of a failure. At the limit of fingerprints, the task's remaining
    /// failures share one.
    fn fingerprint_of(&mut self, record: &NewRecord) -> Option<Fingerprint> {
        if !record.outcome.counts_as_failure() {
            return None;
        }
        let mut fingerprint = fingerprint(record.outcome, record.exit_code, &record.output, &record.reason);
        within_limit(&mut self.fingerprint_ids, [&mut fingerprint]);
        Some(fingerprint)
    }

    fn count_failure(&mut self, wave: u16, record: &NewRecord, fingerprint: Fingerprint) {
        let failures = &mut self.changes.failures;
        if let Some(known) =
            failures.iter_mut().find(|known| known.wave == wave && known.fingerprint.id == fingerprint.id)
        {
            known.records += 1;
            return;
        }
        failures.push(FailureCount {
            wave,
            fingerprint,
            records: 1,
            outcome: record.outcome,
            exit_code: record.exit_code,
            sample_record: (record.ordinal, record.script),
            sample: sample(&record.output),
        });
    }

    /// Creates records for all scripts of a target without a result. An unknown outcome says
    /// whether a script is known to have begun.
    pub(crate) fn without_result(&self, member: &Member, outcome: Outcome, reason: &str) -> Vec<NewRecord> {
        let Member { ordinal, desktop_id, started, .. } = member;
        let reason = record::with_start(outcome, reason, *started);
        let record = |script| {
            let started_at = started.filter(|started| started.script == script).map(|started| started.at);
            let desktop_id = desktop_id.clone();
            NewRecord {
                started_at,
                ..NewRecord::without_result(*ordinal, desktop_id, script, outcome, self.now, &reason)
            }
        };
        (0..self.facts.script_count).map(record).collect()
    }
}

/// Turns the record of a script that succeeded in an earlier task into that success.
fn done_earlier(record: &mut NewRecord) {
    record.outcome = Outcome::Success;
    record.reason = DONE_EARLIER_REASON.to_owned();
}
