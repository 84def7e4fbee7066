//! Effects of transactions, against the invariants.

use chrono::TimeDelta;
use domain::{
    BasisPoints, Timestamp, outcome::Outcome, task::TaskStatus, wave::WaveStatus, wave_start::WaveStart,
};

use super::{Context, Invariants, place_of, weight::is_reached};
use crate::{
    memory::TaskTable,
    rollout::{
        coverage::{Coverage, Feature},
        effect::Effect,
    },
};

impl Invariants {
    /// Checks one effect of a committed transaction.
    pub(in crate::rollout) fn see(
        &mut self,
        effect: &Effect,
        table: &TaskTable,
        context: &Context<'_>,
        coverage: &mut Coverage,
    ) {
        self.changed = true;
        match effect {
            Effect::Admitted { wave, first, number } => self.admitted(*wave, *first..first + number, table),
            Effect::LocatedTarget { ordinals } => {
                coverage.add(Feature::LatePlace);
                self.placed = true;
                self.must(!self.is_cut_short, "nothing is admitted after a halt or a stop", || {
                    format!("targets {ordinals:?} that had waited were handed out")
                });
                self.must(!self.is_suspended, "nothing is admitted while the task is suspended", || {
                    format!("targets {ordinals:?} that had waited were handed out")
                });
            }
            Effect::Leased { worker, ordinals, query_only, suspects } => {
                self.leased(*worker, ordinals, *query_only, coverage);
                self.leased_suspects(ordinals, *suspects, coverage);
            }
            Effect::Recorded { ordinal, scripts } => {
                self.undelivered(*ordinal, scripts, table, context);
                self.returned(*ordinal, scripts, context);
                self.recorded(*ordinal, scripts, table, (context.is_explained)(*ordinal), coverage)
            }
            Effect::Awaited { ordinal, until, scripts } => {
                coverage.add(Feature::ReturnAwaited);
                let is_true = scripts.iter().all(|(outcome, _)| *outcome == Outcome::Success);
                self.must(is_true, "a failure counts without a wait for the desktop", || {
                    format!("target {ordinal} waits with {scripts:?}")
                });
                self.target(*ordinal).awaited = Some((*until, scripts.clone()));
            }
            Effect::Resumed { ordinal } => self.resumed(*ordinal, context, coverage),
            Effect::Opened { wave, now } => self.opened(*wave, *now, table, context),
            Effect::Closed { wave } => {
                self.closed_at[place_of(*wave)] = Some(context.now);
                self.closed(*wave, table, coverage);
            }
            Effect::CutShort { status } => {
                self.is_cut_short = true;
                if *status == TaskStatus::Halting {
                    coverage.add(Feature::Halt);
                }
            }
            Effect::Withdrawn { ordinals } => self.withdrawn(ordinals, table, coverage),
            Effect::TargetStopped { ordinal } => self.target(*ordinal).stopped = true,
            Effect::TaskEnded { status } => self.task_ended(*status, table, coverage),
            Effect::Engine(effect) => self.reported(effect, context, coverage),
        }
    }

    /// Counts an effect that the engine reports as coverage.
    fn reported(&mut self, effect: &engine::Effect, context: &Context<'_>, coverage: &mut Coverage) {
        use engine::Effect;
        let feature = match effect {
            Effect::Halted { is_late: true, .. } => Feature::LateHalt,
            Effect::Reclaimed { maybe_delivered: true, .. } => Feature::LostBatch,
            Effect::Reclaimed { maybe_delivered: false, .. } => Feature::NeverPulled,
            Effect::KnownResult { .. } => Feature::KnownResult,
            Effect::Quarantined { .. } => Feature::Quarantined,
            Effect::WaveWaiting { wait: WaveStart::Soaks(_), .. } => Feature::SoakWait,
            Effect::WaveWaiting { wait: WaveStart::LacksEvidence(_), .. } => Feature::EvidenceWait,
            Effect::WaveWaiting { .. } => Feature::ApprovalWait,
            Effect::Replaced { ordinal, .. } => {
                let is_explained = (context.is_explained)(*ordinal);
                self.must(is_explained, "an agent is replaced only where a desktop was reinstalled", || {
                    format!("target {ordinal}")
                });
                Feature::Replaced
            }
            _ => return,
        };
        coverage.add(feature);
    }

    fn admitted(&mut self, wave: u16, ordinals: std::ops::Range<u32>, table: &TaskTable) {
        self.placed = true;
        self.must(!self.is_cut_short, "nothing is admitted after a halt or a stop", || {
            format!("targets {ordinals:?} of wave {wave} were admitted")
        });
        self.must(!self.is_suspended, "nothing is admitted while the task is suspended", || {
            format!("targets {ordinals:?} of wave {wave} were admitted")
        });
        let before = &table.waves[..place_of(wave)];
        let are_closed = before.iter().all(|row| row.state.status == WaveStatus::Closed);
        self.must(are_closed, "no next wave before the gate closed the one before it", || {
            format!("targets {ordinals:?} of wave {wave} were admitted")
        });
        for ordinal in ordinals {
            let again = std::mem::replace(&mut self.target(ordinal).admitted, true);
            self.must(!again, "a target is admitted once", || format!("target {ordinal} was admitted again"));
            self.counts[place_of(wave)].admitted += 1;
        }
    }

    fn leased(&mut self, worker: usize, ordinals: &[u32], query_only: bool, coverage: &mut Coverage) {
        self.must(!self.is_suspended || query_only, "while the task is suspended no batch is leased", || {
            format!("worker {worker} was given targets {ordinals:?}")
        });
        self.must(!self.is_cut_short || query_only, "nothing is handed out after a halt or a stop", || {
            format!("worker {worker} was given targets {ordinals:?}")
        });
        if query_only {
            coverage.add(Feature::AskedOnly);
        }
        for &ordinal in ordinals {
            let is_admitted = self.target(ordinal).admitted;
            self.must(is_admitted, "only what was admitted is handed out", || {
                format!("worker {worker} was given target {ordinal}")
            });
            self.target(ordinal).leased |= !query_only;
        }
    }

    /// Targets that workers died of go out in small batches, one batch at a time, and in the end no
    /// more.
    fn leased_suspects(&mut self, ordinals: &[u32], suspects: usize, coverage: &mut Coverage) {
        let worker_deaths =
            ordinals.iter().map(|&ordinal| self.target(ordinal).worker_deaths).max().unwrap_or_default();
        let most = match worker_deaths {
            0 | 1 => return,
            2 => 25,
            3 | 4 => 1,
            _ => 0,
        };
        coverage.add(Feature::Suspected);
        self.must(
            ordinals.len() <= most,
            "what workers died of is handed out in ever smaller batches",
            || format!("{worker_deaths} workers died of targets {ordinals:?}, and {most} may be in a batch"),
        );
        self.must(suspects == 0, "a worker holds one suspected batch at a time", || {
            format!("targets {ordinals:?} are the batch after {suspects} others")
        });
    }

    fn opened(&mut self, wave: u16, now: Timestamp, table: &TaskTable, context: &Context<'_>) {
        let place = place_of(wave);
        self.must(!self.is_cut_short, "nothing is admitted after a halt or a stop", || {
            format!("wave {wave} was opened")
        });
        self.must(!self.is_suspended, "nothing is admitted while the task is suspended", || {
            format!("wave {wave} was opened")
        });
        let needs = self.policy.approval.before_waves.contains(&wave);
        let is_approved = !needs || self.approved.contains(&wave);
        self.must(is_approved, "a wave that needs approval waits for it", || {
            format!("wave {wave} was opened without")
        });
        let Some(before) = place.checked_sub(1).map(|before| &table.waves[before]) else { return };
        self.must(
            before.state.status == WaveStatus::Closed,
            "no next wave before the gate closed the one before it",
            || format!("wave {wave} was opened"),
        );
        let succeeded = self.counts[place - 1].succeeded;
        let share = u64::from(self.policy.min_success.map_or(0, BasisPoints::get));
        let has_evidence =
            succeeded > 0 && u64::from(succeeded) * 10_000 >= share * u64::from(before.state.size);
        let is_approved = self.approved.contains(&wave);
        self.must(has_evidence || is_approved, "no wave opens on a wave without evidence", || {
            format!("wave {wave} was opened after {succeeded} of {} succeeded", before.state.size)
        });
        let soak = TimeDelta::seconds(i64::from(self.policy.soak_seconds));
        let has_soaked = before.closed_at.is_some_and(|closed_at| now >= closed_at + soak);
        let really = self.closed_at[place - 1].map(|closed_at| context.now - closed_at);
        let certain = soak - context.skew * 2 - context.longest_lag;
        let has_really_soaked = really.is_some_and(|time| time >= certain);
        self.must(has_soaked && has_really_soaked, "a wave soaks before the next one opens", || {
            format!("wave {wave} was opened {really:?} after wave {}, and soaks {soak}", wave - 1)
        });
    }

    fn closed(&mut self, wave: u16, table: &TaskTable, coverage: &mut Coverage) {
        let row = &table.waves[place_of(wave)];
        let count = self.counts[place_of(wave)];
        let missing = row.state.size - count.ended;
        if missing > 0 {
            coverage.add(Feature::QuorumClose);
            self.must(!row.state.is_last, "the last wave waits for all", || {
                format!("wave {wave} was closed and {missing} are missing")
            });
            let members = row.first_ordinal..row.first_ordinal + row.state.size;
            let runs = members.filter(|ordinal| !table.has_ended(*ordinal)).find(|ordinal| {
                let deferred = table.deferred.get(ordinal);
                deferred.is_none_or(|row| row.terms.maybe_delivered)
            });
            self.must(runs.is_none(), "a wave is closed while only offline desktops are missing", || {
                format!("wave {wave} was closed and target {} is missing", runs.unwrap_or_default())
            });
            let quorum = u64::from(self.policy.quorum.map_or(10_000, BasisPoints::get));
            let is_quorum = u64::from(count.ended) * 10_000 >= quorum * u64::from(row.state.size);
            self.must(is_quorum, "a wave with missing results is closed on a quorum only", || {
                format!("wave {wave} was closed with {} of {}", count.ended, row.state.size)
            });
        }
        let is_bad =
            count.halting > 0 || is_reached(row.state.fail_threshold, count.failed, count.ended, true);
        self.must(!is_bad, "no next wave after a halt", || {
            format!("wave {wave} was closed with {} failures of {}", count.failed, count.ended)
        });
    }

    fn withdrawn(&mut self, ordinals: &[u32], table: &TaskTable, coverage: &mut Coverage) {
        coverage.add(Feature::Withdrawn);
        self.must(self.is_cut_short, "nothing accepted is lost", || {
            format!("targets {ordinals:?} are nowhere and the task goes on")
        });
        for &ordinal in ordinals {
            let target = self.target(ordinal);
            let was_ordered = target.ordered;
            target.admitted = false;
            target.withdrawn = true;
            let wave = Self::wave_of(table, ordinal);
            self.counts[wave].admitted = self.counts[wave].admitted.saturating_sub(1);
            self.must(!was_ordered, "only unordered targets are withdrawn", || {
                format!("target {ordinal} was withdrawn after its order")
            });
            self.must(!table.has_ended(ordinal), "a target ends in exactly one outcome", || {
                format!("target {ordinal} was withdrawn and has a record")
            });
        }
    }
}
