//! Schedulers: they look, decide, and act a moment later on what they saw. The transactions read again. Schedulers hold no
//! state, die, and come back.

mod calls;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
};
use engine::{Duty, DutyKind, Rows as _};

use super::{
    coverage::Feature,
    event::{Act, Event},
    transaction::at_once,
    world::World,
};

/// Maximum number of periods between two looks of an idle scheduler.
const MOST_IDLE: i64 = 15;
/// Rows of each kind that one look reads.
const PER_TICK: u32 = 1_000;

impl World {
    /// Starts a scheduler, which looks at once.
    pub(super) fn start_scheduler(&mut self, scheduler: usize) {
        let now = self.clock.now;
        let row = &mut self.schedulers[scheduler];
        (row.alive, row.next_cut, row.next_reap, row.idle) = (true, now, now, 0);
        self.clock.after(0, Event::CutTick { scheduler });
        self.clock.after(0, Event::ReapTick { scheduler });
    }

    /// Delivers the wake-ups of a commit. Notifications are lost now and then, and cost only a period.
    pub(super) fn ring(&mut self) {
        use engine::Wake;
        let wakes = self.store.take_wakes();
        for scheduler in 0..self.schedulers.len() {
            if !self.schedulers[scheduler].alive {
                continue;
            }
            if wakes.contains(&Wake::Admit) && !self.is_lost() {
                self.look(scheduler, true);
            }
            if wakes.contains(&Wake::Presence) && !self.is_lost() {
                self.look(scheduler, false);
            }
        }
        if wakes.contains(&Wake::Ready) {
            self.wake_pullers();
        }
        if wakes.contains(&Wake::Stop) {
            self.tell_stops();
        }
    }

    /// Has a scheduler look soon, unless it is about to.
    fn look(&mut self, scheduler: usize, is_cut: bool) {
        let at = self.clock.now + TimeDelta::milliseconds(self.dice.between(1, 20));
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

    /// A tick of the loop that cuts.
    pub(super) fn cut_tick(&mut self, scheduler: usize) {
        if !self.schedulers[scheduler].alive || self.schedulers[scheduler].next_cut != self.clock.now {
            return;
        }
        let life = self.schedulers[scheduler].life;
        for (place, task_id) in (0..).zip(self.store.to_cut(self.clock.now)) {
            self.decide(scheduler, life, place, Act::Admission { task_id });
        }
        let at = self.clock.now + TimeDelta::milliseconds(self.idle_ms(scheduler));
        self.schedulers[scheduler].next_cut = at;
        self.clock.at(at, Event::CutTick { scheduler });
    }

    /// A tick of the loop that does what time makes due.
    pub(super) fn reap_tick(&mut self, scheduler: usize) {
        if !self.schedulers[scheduler].alive || self.schedulers[scheduler].next_reap != self.clock.now {
            return;
        }
        let acts = self.due(self.clock.now);
        let row = &mut self.schedulers[scheduler];
        row.idle = if acts.is_empty() { row.idle + 1 } else { 0 };
        let life = row.life;
        for (place, act) in (0..).zip(acts) {
            self.decide(scheduler, life, place, act);
        }
        let at = self.clock.now + TimeDelta::milliseconds(self.idle_ms(scheduler));
        self.schedulers[scheduler].next_reap = at;
        self.clock.at(at, Event::ReapTick { scheduler });
    }

    fn idle_ms(&self, scheduler: usize) -> i64 {
        self.scenario.plant.period_ms * self.schedulers[scheduler].idle.clamp(1, MOST_IDLE)
    }

    /// Schedules an act a moment later, in the order of the decisions.
    fn decide(&mut self, scheduler: usize, life: u32, place: i64, act: Act) {
        let wait = place * 30 + self.dice.between(0, 29);
        self.clock.after(wait, Event::Act { scheduler, life, now: self.clock.now, act });
    }

    /// One transaction. `now` is the time at which the scheduler looked.
    pub(super) fn act(&mut self, scheduler: usize, life: u32, now: Timestamp, act: Act) {
        let row = &self.schedulers[scheduler];
        if !row.alive || row.life != life {
            return;
        }
        match act {
            Act::Admission { task_id } => self.cut(scheduler, task_id, now),
            Act::ForgetWorker { worker_id, last_heartbeat_before } => {
                self.forget(&worker_id, last_heartbeat_before, now)
            }
            Act::Perform(duty) => self.perform(&duty, now),
        }
    }

    /// Forgets a worker that stayed silent. It may have died of the targets that it held.
    fn forget(&mut self, worker_id: &WorkerId, last_heartbeat_before: Timestamp, now: Timestamp) {
        let batches = self.store.task(self.task_id).into_iter().flat_map(|table| table.batches.values());
        let held = batches.filter(|batch| {
            let is_leased = batch.row.lease_until.is_some_and(|until| until > Timestamp::UNIX_EPOCH);
            is_leased && batch.row.worker_id == *worker_id
        });
        let held: Vec<u32> = held.flat_map(|batch| &batch.row.members).map(|member| member.ordinal).collect();
        if self.store.forget_worker(worker_id, Some(last_heartbeat_before), now) {
            held.into_iter().for_each(|ordinal| self.promises.lost(ordinal));
        }
    }

    fn cut(&mut self, scheduler: usize, task_id: TaskId, now: Timestamp) {
        let Some(cut) = at_once(self.engine.admit(&mut self.store, task_id, now)) else { return };
        self.commit(Some(cut.decision));
        if cut.has_more {
            self.look(scheduler, true);
        }
    }

    fn perform(&mut self, duty: &Duty, now: Timestamp) {
        let decision = at_once(self.engine.perform(&mut self.store, duty, now, now));
        if self.commit(decision) && duty.kind == DutyKind::Expire {
            self.coverage.add(Feature::Expiry);
        }
    }

    /// What a look at the rows finds to do.
    fn due(&mut self, now: Timestamp) -> Vec<Act> {
        let last_heartbeat_before = now - TimeDelta::milliseconds(self.scenario.plant.worker_timeout_ms);
        let silent = self.store.silent_since(last_heartbeat_before).into_iter();
        let mut acts: Vec<Act> =
            silent.map(|worker_id| Act::ForgetWorker { worker_id, last_heartbeat_before }).collect();
        for kind in DutyKind::ALL {
            let duties = at_once(self.store.due(kind, now, now, PER_TICK));
            acts.extend(duties.into_iter().map(Act::Perform));
        }
        acts
    }
}
