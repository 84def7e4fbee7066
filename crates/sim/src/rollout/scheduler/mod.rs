//! Schedulers: they look for work at ticks, and run transactions a moment later. The transactions
//! read again. Schedulers hold no state, die, and come back; each has its own clock.

mod calls;
mod report;

use std::time::Duration;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
};
use engine::{DueTimes, Duty, DutyKind, Rows as _, Wake};

use super::{
    coverage::Feature,
    event::{Act, Event, Target},
    mutant::Mutant,
    state::Scheduler,
    transaction::{Database, Scope, at_once},
    world::World,
};

/// Maximum number of periods between two ticks of an idle scheduler. It is less than the time in
/// which a worker is observed_until.
const MOST_IDLE: i64 = 12;
/// Rows of each kind that one tick reads.
const PER_TICK: u32 = 1_000;
/// Maximum time in which a scheduler listens again after an outage.
const LISTENS_WITHIN_MS: i64 = 1_000;

impl World {
    /// Starts a scheduler, which looks for work at once.
    pub(super) fn start_scheduler(&mut self, scheduler: usize) {
        let now = self.clock.now;
        let row = &mut self.schedulers[scheduler];
        (row.alive, row.next_cut, row.next_reap, row.idle) = (true, now, now, 0);
        row.liveness = Scheduler::liveness(self.scenario.cluster.worker_timeout_ms);
        self.clock.after(0, Event::CutTick { scheduler });
        self.clock.after(0, Event::ReapTick { scheduler });
    }

    /// Delivers the wake-ups of a commit. Some notifications are lost, and cost only a period.
    pub(super) fn wake(&mut self) {
        let wakes = self.store.take_wakes();
        if wakes.is_empty() || self.outage.is_some() {
            return;
        }
        for scheduler in 0..self.schedulers.len() {
            if !self.schedulers[scheduler].alive {
                continue;
            }
            if wakes.contains(&Wake::Admit) && !self.is_lost() {
                self.tick_within(scheduler, true, 20);
            }
            if wakes.contains(&Wake::Presence) && !self.is_lost() {
                self.tick_within(scheduler, false, 20);
            }
        }
        if wakes.contains(&Wake::Ready) {
            self.wake_pullers();
        }
        if wakes.contains(&Wake::Stop) {
            self.ask_for_stops();
        }
    }

    /// Has schedulers tick that listen again after an outage.
    pub(super) fn listen_again(&mut self) {
        for scheduler in 0..self.schedulers.len() {
            if self.schedulers[scheduler].alive {
                self.tick_within(scheduler, true, LISTENS_WITHIN_MS);
                self.tick_within(scheduler, false, LISTENS_WITHIN_MS);
            }
        }
    }

    /// Has a scheduler tick soon, unless it does so earlier.
    fn tick_within(&mut self, scheduler: usize, is_cut: bool, most_ms: i64) {
        let at = self.clock.now + TimeDelta::milliseconds(self.rng.between(1, most_ms));
        let row = &mut self.schedulers[scheduler];
        row.idle = 0;
        let (next, event) = if is_cut {
            (&mut row.next_cut, Event::CutTick { scheduler })
        } else {
            (&mut row.next_reap, Event::ReapTick { scheduler })
        };
        if at < *next || *next <= self.clock.now {
            *next = at;
            self.clock.at(at, event);
        }
    }

    /// A tick of the loop that admits targets.
    pub(super) fn cut_tick(&mut self, scheduler: usize) {
        let row = &self.schedulers[scheduler];
        if !row.alive || row.next_cut != self.clock.now {
            return;
        }
        let now = row.time(self.clock.now);
        if self.database() == Database::Up {
            for (place, task_id) in (0..).zip(self.store.admissible(now)) {
                self.decide(scheduler, place, Act::Admission { task_id });
            }
        }
        let at = self.clock.now + TimeDelta::milliseconds(self.idle_ms(scheduler));
        self.schedulers[scheduler].next_cut = at;
        self.clock.at(at, Event::CutTick { scheduler });
    }

    /// A tick of the loop that does due work.
    pub(super) fn reap_tick(&mut self, scheduler: usize) {
        let row = &self.schedulers[scheduler];
        if !row.alive || row.next_reap != self.clock.now {
            return;
        }
        let now = row.time(self.clock.now);
        let times = DueTimes { now, observed_until: self.observed_until(scheduler, now) };
        if self.database() == Database::Up {
            self.check_waits();
            let acts = self.due(times);
            let row = &mut self.schedulers[scheduler];
            row.idle = if acts.is_empty() { row.idle + 1 } else { 0 };
            for (place, act) in (0..).zip(acts) {
                self.decide(scheduler, place, act);
            }
        } else {
            self.interrupt(scheduler);
        }
        let at = self.clock.now + TimeDelta::milliseconds(self.idle_ms(scheduler));
        self.schedulers[scheduler].next_reap = at;
        self.clock.at(at, Event::ReapTick { scheduler });
    }

    /// The time up to which silence counts.
    fn observed_until(&mut self, scheduler: usize, now: Timestamp) -> Timestamp {
        if self.mutant == Some(Mutant::TrustSilence) {
            return now;
        }
        let uptime = Duration::from_millis(self.clock.elapsed_ms().unsigned_abs());
        let observed_until = self.schedulers[scheduler].liveness.observed_until(uptime, now);
        if observed_until < now && self.clock.elapsed_ms() > self.scenario.cluster.worker_timeout_ms {
            self.coverage.add(Feature::SilenceExcused);
        }
        observed_until
    }

    /// A transaction of the scheduler failed.
    fn interrupt(&mut self, scheduler: usize) {
        self.schedulers[scheduler].liveness.interrupted();
        self.waits_out_of_service.clear();
    }

    fn idle_ms(&self, scheduler: usize) -> i64 {
        self.scenario.cluster.period_ms * self.schedulers[scheduler].idle.clamp(1, MOST_IDLE)
    }

    /// Schedules a transaction a moment later, in the order of the decisions.
    fn decide(&mut self, scheduler: usize, place: i64, act: Act) {
        let row = &self.schedulers[scheduler];
        let (life, ticked_at) = (row.life, self.clock.now);
        let now = row.time(ticked_at);
        let wait = place * 30 + self.rng.between(0, 29);
        self.clock.after(wait, Event::Act { scheduler, life, now, ticked_at, act });
    }

    /// Runs a transaction. `now` is the scheduler's time at its tick.
    pub(super) fn act(
        &mut self,
        scheduler: usize,
        life: u32,
        now: Timestamp,
        ticked_at: Timestamp,
        act: Act,
    ) {
        let row = &self.schedulers[scheduler];
        if !row.alive || row.life != life {
            return;
        }
        let database = self.database();
        if database != Database::Up {
            self.interrupt(scheduler);
        }
        if database == Database::Down {
            return;
        }
        self.longest_lag = self.longest_lag.max(self.clock.now - ticked_at);
        match act {
            Act::Admission { task_id } => self.cut(scheduler, task_id, now),
            Act::ForgetWorker { worker_id, silent_since } => self.forget(&worker_id, silent_since, now),
            Act::Perform { duty, observed_until } => self.perform(&duty, DueTimes { now, observed_until }),
        }
    }

    /// Forgets a worker that stayed silent. It may have died of its targets.
    fn forget(&mut self, worker_id: &WorkerId, silent_since: Timestamp, now: Timestamp) {
        let is_suspended = |row: &engine::row::BatchRow| {
            row.lease_until.is_some_and(|until| until > Timestamp::UNIX_EPOCH) && row.worker_id == *worker_id
        };
        let held = self.store.batches().map(|batch| &batch.row).filter(|row| is_suspended(row));
        let held = held.flat_map(|row| {
            let task = self.number_of(row.terms.task_id);
            row.members.iter().map(move |member| Target { task, ordinal: member.ordinal })
        });
        let held: Vec<Target> = held.collect();
        if self.store.forget_worker(worker_id, Some(silent_since), now) {
            self.check_silence(worker_id);
            for target in held {
                self.fault_of(target);
                self.tasks[target.task].invariants.lost(target.ordinal);
            }
        }
    }

    /// A worker that lives is forgotten only if links disturbed its heartbeats.
    fn check_silence(&mut self, worker_id: &WorkerId) {
        let worker = self.worker_ids.iter().position(|it| it == worker_id).unwrap_or_default();
        let state = &self.workers[worker];
        let recent = self.clock.now - TimeDelta::milliseconds(self.scenario.cluster.worker_timeout_ms * 4);
        let is_excused = !state.alive || state.heartbeat_disturbed_at.is_some_and(|at| at > recent);
        self.must(is_excused, "a worker that lives is not forgotten because nobody could hear it", || {
            format!("worker {worker}")
        });
    }

    fn cut(&mut self, scheduler: usize, task_id: TaskId, now: Timestamp) {
        let Some(cut) = at_once(self.engine.admit(&mut self.store, task_id, now)) else { return };
        self.commit(Some(cut.decision), &Scope::Task(task_id));
        if cut.has_more {
            self.tick_within(scheduler, true, 20);
        }
    }

    fn perform(&mut self, duty: &Duty, times: DueTimes) {
        let decision = at_once(self.engine.perform(&mut self.store, duty, times));
        if self.commit(decision, &Scope::Task(duty.task_id)) && duty.kind == DutyKind::Expire {
            self.coverage.add(Feature::Expiry);
        }
    }

    /// Transactions for the due work that a tick finds.
    fn due(&mut self, times: DueTimes) -> Vec<Act> {
        let observed_until = times.observed_until;
        let silent_since = observed_until - TimeDelta::milliseconds(self.scenario.cluster.worker_timeout_ms);
        let silent = self.store.silent_since(silent_since).into_iter();
        let mut acts: Vec<Act> =
            silent.map(|worker_id| Act::ForgetWorker { worker_id, silent_since }).collect();
        for kind in DutyKind::ALL {
            let duties = at_once(self.store.due(kind, times, PER_TICK));
            acts.extend(duties.into_iter().map(|duty| Act::Perform { duty, observed_until }));
        }
        acts
    }
}
