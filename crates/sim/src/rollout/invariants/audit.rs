//! Totals: checked after every event that changed rows, and recounted from the rows now and then.

use domain::{tally::Tally, threshold::Threshold, wave::WaveStatus};

use super::{Invariants, place_of, weight::is_reached};
use crate::{
    memory::TaskTable,
    rollout::{
        coverage::{Coverage, Feature},
        event::of_target,
        observe::scripts,
    },
};

/// Largest fleet that is recounted after every change. Larger fleets are recounted less often, at
/// the same total cost.
const FLEET_COUNTED_AT_ONCE: usize = 40;

impl Invariants {
    /// After each event.
    pub(in crate::rollout) fn check(&mut self, table: &TaskTable, coverage: &mut Coverage) {
        if !std::mem::take(&mut self.changed) || self.has_ended {
            return;
        }
        self.check_thresholds(table);
        self.check_over(table);
        if self.is_cut_short {
            self.check_withdrawn(table);
        }
        if self.policy.strict {
            self.check_strict(table, coverage);
        }
        if std::mem::take(&mut self.placed) {
            self.check_concurrency(table, coverage);
        }
        self.unread += 1;
        if self.unread * FLEET_COUNTED_AT_ONCE >= self.targets.len() {
            self.recount(table, coverage);
        }
    }

    /// A halt is due with the failure that reaches a threshold, in the same transaction.
    fn check_thresholds(&mut self, table: &TaskTable) {
        if self.is_cut_short {
            return;
        }
        let (mut failed, mut ended) = (0, 0);
        for (row, count) in table.waves.iter().zip(self.counts.clone()) {
            failed += count.failed;
            ended += count.ended;
            let is_closed = row.state.status == WaveStatus::Closed;
            let threshold = row.state.fail_threshold;
            let is_due = count.halting > 0 || is_reached(threshold, count.failed, count.ended, is_closed);
            self.must(!is_due, "no next wave after a halt", || {
                format!("wave {} has {} failures of {} and goes on", row.wave, count.failed, count.ended)
            });
        }
        let is_due = is_reached(self.policy.fail_threshold, failed, ended, false);
        self.must(!is_due, "no next wave after a halt", || {
            format!("all waves have {failed} failures of {ended} and the task goes on")
        });
    }

    /// A wave that is over is closed with what made it so: its last result, or the last of its
    /// targets that turns out to be away where the others are a quorum.
    fn check_over(&mut self, table: &TaskTable) {
        let Some(row) = table.current() else { return };
        let count = self.counts[place_of(row.wave)];
        if row.state.status != WaveStatus::Open || self.is_cut_short {
            return;
        }
        let missing = row.state.size - count.ended;
        let away = table.deferred.values();
        let away = away.filter(|away| away.terms.wave == row.wave && !away.terms.maybe_delivered).count();
        let quorum = self.policy.quorum.map(|quorum| u64::from(quorum.get()) * u64::from(row.state.size));
        let is_quorum = quorum.is_some_and(|quorum| u64::from(count.ended) * 10_000 >= quorum);
        let is_over = missing == 0 || is_quorum && missing as usize == away;
        self.must(!is_over || row.state.is_last, "a wave that is over is closed at once", || {
            format!("wave {} has {} of {}, {away} are offline", row.wave, count.ended, row.state.size)
        });
    }

    /// A halt or a stop keeps no target that was certainly not handed out.
    fn check_withdrawn(&mut self, table: &TaskTable) {
        let mut batches = table.batches.values().map(|batch| &batch.row);
        let ready = batches.find(|row| row.lease_until.is_none() && !row.terms.maybe_delivered);
        let away = table.deferred.values().find(|away| !away.terms.maybe_delivered);
        let kept = ready.and_then(|row| row.members.first()).or_else(|| away.map(|away| &away.member));
        self.must(kept.is_none(), "a halt or a stop withdraws unordered targets", || {
            format!("target {} still waits", kept.map(|member| member.ordinal).unwrap_or_default())
        });
    }

    /// Strict mode: no more may ever fail than a threshold says.
    fn check_strict(&mut self, table: &TaskTable, coverage: &mut Coverage) {
        let counts_away = self.counts_away();
        let mut all = 0;
        for (place, row) in table.waves.iter().enumerate() {
            let count = self.counts[place];
            let away = table.deferred.values();
            let away = away.filter(|away| away.terms.wave == row.wave && !away.terms.maybe_delivered).count();
            let away = if counts_away { 0 } else { u32::try_from(away).unwrap_or(u32::MAX) };
            let at_risk =
                count.failed + (count.admitted - count.ended.min(count.admitted)).saturating_sub(away);
            all += at_risk;
            if let Some(Threshold::Count(most)) = row.state.fail_threshold {
                if at_risk == most && row.state.status == WaveStatus::Open {
                    coverage.add(Feature::StrictLimit);
                }
                self.must(at_risk <= most, "strict mode: no more than the threshold can fail", || {
                    format!("{at_risk} of wave {} failed or may fail, and the threshold is {most}", row.wave)
                });
            }
        }
        if let Some(Threshold::Count(most)) = self.policy.fail_threshold {
            self.must(all <= most, "strict mode: no more than the threshold can fail", || {
                format!("{all} of all waves failed or may fail, and the threshold is {most}")
            });
        }
    }

    /// Number of targets in flight.
    pub(in crate::rollout) fn in_flight(&self, table: &TaskTable) -> usize {
        let targets = (0u32..).zip(&self.targets);
        let is_in_flight = |(ordinal, target): &(u32, &super::Target)| {
            let waits = || table.deferred.get(ordinal).is_some_and(|row| !row.terms.maybe_delivered);
            target.admitted && target.outcome.is_none() && !waits()
        };
        targets.filter(is_in_flight).count()
    }

    /// No target comes in flight beyond `max_concurrency`.
    fn check_concurrency(&mut self, table: &TaskTable, coverage: &mut Coverage) {
        let Some(most) = table.facts.max_concurrency else { return };
        let in_flight = self.in_flight(table);
        if in_flight == most as usize {
            coverage.add(Feature::PlacesFull);
        }
        self.must(in_flight <= most as usize, "no more than max_concurrency are admitted", || {
            format!("{in_flight} are in flight, and {most} may be")
        });
    }

    /// The rows' totals are those of the rows.
    pub(super) fn recount(&mut self, table: &TaskTable, coverage: &mut Coverage) {
        self.unread = 0;
        for (row, count) in table.waves.iter().zip(self.counts.clone()) {
            let mut targets = Tally::default();
            let mut records = Tally::default();
            for ordinal in row.first_ordinal..row.first_ordinal + row.state.size {
                if !table.has_ended(ordinal) {
                    continue;
                }
                let scripts = scripts(&table.records[ordinal as usize]);
                targets.add(of_target(&scripts).0);
                scripts.iter().for_each(|(outcome, _)| records.add(*outcome));
            }
            self.must(
                targets == row.state.tally && records == row.record_tally,
                "a tally is what its records say",
                || format!("wave {}: {:?}, and the records say {targets:?}", row.wave, row.state.tally),
            );
            self.must(row.state.admitted == count.admitted, "what is admitted is counted once", || {
                format!("wave {} says {}, and {} are", row.wave, row.state.admitted, count.admitted)
            });
            let of_wave = table.deferred.values().filter(|deferred| deferred.terms.wave == row.wave);
            let unhanded = of_wave.filter(|deferred| !deferred.terms.maybe_delivered).count();
            self.must(row.state.waiting as usize == unhanded, "an offline desktop is counted once", || {
                format!("wave {} says {}, and {unhanded} are", row.wave, row.state.waiting)
            });
        }
        if table.deferred.values().any(|row| row.not_before.is_some()) {
            coverage.add(Feature::WindowWait);
        }
        self.check_kept(table);
    }

    /// Each admitted target has an outcome, or is at one place from where it will get one.
    fn check_kept(&mut self, table: &TaskTable) {
        let mut kept = vec![false; self.targets.len()];
        let in_batches = table.batches.values().flat_map(|batch| &batch.row.members);
        let ordinals = in_batches.map(|member| member.ordinal).chain(table.deferred.keys().copied());
        // A batch keeps its members until all of them have results.
        let ordinals = ordinals.filter(|&ordinal| table.awaited(ordinal).is_none());
        let awaited = table.awaited.values().filter(|row| !row.is_resumed);
        let ordinals = ordinals.chain(awaited.map(|row| row.awaited.ordinal));
        for ordinal in ordinals {
            let again = std::mem::replace(&mut kept[ordinal as usize], true);
            self.must(!again, "a target is at one place", || format!("target {ordinal} is at two"));
        }
        let lost = self
            .targets
            .iter()
            .zip(kept)
            .position(|(target, is_kept)| target.admitted && target.outcome.is_none() && !is_kept);
        self.must(lost.is_none() || self.has_ended, "nothing accepted is lost", || {
            format!("target {} has no outcome and is nowhere", lost.unwrap_or_default())
        });
    }
}
