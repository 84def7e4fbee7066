//! Schedulers: they look, decide, and act a moment later, on what they saw; the transactions read again. They hold no
//! state, die, and come back.

mod cut;
mod reap;
mod report;

use chrono::TimeDelta;
use domain::Timestamp;

use super::{
    coverage::Feature,
    event::{Act, Answer, Call, Event, Worker},
    sabotage::Sabotage,
    world::World,
};

/// A scheduler: one place in which its process runs.
#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) alive: bool,
    /// What it had decided on in an earlier life is forgotten.
    pub(super) life: u32,
    /// When it looks next; ticks at other times are stale.
    next_cut: Timestamp,
    next_reap: Timestamp,
    /// Looks in a row at which there was nothing to do.
    idle: i64,
}

impl Scheduler {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { alive: true, life: 0, next_cut: now, next_reap: now, idle: 0 }
    }
}

/// One who finds nothing to do looks at most so many periods later.
const MOST_IDLE: i64 = 15;

impl World {
    /// A scheduler, or all of them, look at once.
    pub(super) fn start_scheduler(&mut self, scheduler: usize) {
        let now = self.clock.now;
        let row = &mut self.schedulers[scheduler];
        (row.alive, row.next_cut, row.next_reap, row.idle) = (true, now, now, 0);
        self.clock.after(0, Event::CutTick { scheduler });
        self.clock.after(0, Event::ReapTick { scheduler });
    }

    /// Wakes who is to be woken after a commit. Notifications are lost now and then, and cost only a period.
    pub(super) fn ring(&mut self) {
        let wakes = std::mem::take(&mut self.database.wakes);
        for scheduler in 0..self.schedulers.len() {
            if !self.schedulers[scheduler].alive {
                continue;
            }
            if wakes.cut && !self.is_lost() {
                self.look(scheduler, true);
            }
            if wakes.presence && !self.is_lost() {
                self.look(scheduler, false);
            }
        }
        if wakes.ready {
            self.wake_pullers();
        }
        if wakes.stop {
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
        if self.database.has_to_cut(self.clock.now) {
            let life = self.schedulers[scheduler].life;
            self.decide(scheduler, life, 0, Act::Cut);
        }
        let at = self.clock.now + TimeDelta::milliseconds(self.idle_ms(scheduler));
        self.schedulers[scheduler].next_cut = at;
        self.clock.at(at, Event::CutTick { scheduler });
    }

    /// A tick of the loop that does what time does.
    pub(super) fn reap_tick(&mut self, scheduler: usize) {
        if !self.schedulers[scheduler].alive || self.schedulers[scheduler].next_reap != self.clock.now {
            return;
        }
        let acts = self.to_reap(self.clock.now);
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

    /// What was decided on now is done a moment later, in the order in which it was decided on.
    fn decide(&mut self, scheduler: usize, life: u32, place: i64, act: Act) {
        let wait = place * 30 + self.dice.between(0, 29);
        self.clock.after(wait, Event::Act { scheduler, life, now: self.clock.now, act });
    }

    /// One transaction. `now` is from when the scheduler looked.
    pub(super) fn act(&mut self, scheduler: usize, life: u32, now: Timestamp, act: Act) {
        let row = &self.schedulers[scheduler];
        if !row.alive || row.life != life {
            return;
        }
        let database = &mut self.database;
        match act {
            Act::Cut => {
                if database.cut(now) {
                    self.look(scheduler, true);
                }
            }
            Act::ForgetWorker { worker, heard_before } => {
                database.forget_worker(worker, Some(heard_before), now);
            }
            Act::Expire => {
                if database.expire(now) {
                    self.coverage.add(Feature::Expiry);
                }
            }
            Act::Reclaim { batch } => database.reclaim_batch(batch, now),
            Act::HandOut => database.cut_stragglers(now),
            Act::PutOff { ordinals } => database.put_off(&ordinals, now),
            Act::Overdue { batch, ordinals } => database.expire_targets(batch, &ordinals, now),
        }
    }

    /// A call of a worker reaches a scheduler, if one lives; the answer goes back.
    pub(super) fn call(&mut self, worker: Worker, call: Call) {
        if !self.schedulers.iter().any(|scheduler| scheduler.alive) {
            return;
        }
        let now = self.clock.now;
        let lease_ms = self.scenario.plant.lease_ms;
        let database = &mut self.database;
        let answer = match call {
            Call::Heartbeat { draining } => {
                Some(Answer::Heartbeat { is_new: database.heard(worker, draining, now) })
            }
            Call::Presence { deadline, .. } if deadline < now => None,
            Call::Presence { tell, changes, .. } => {
                Some(Answer::Presence { tell, known: database.presence(worker, &changes, now) })
            }
            Call::Pull { room } => Some(Answer::Batches(database.lease(worker, room, now, lease_ms))),
            Call::Renew { leases } => {
                let until = now + TimeDelta::milliseconds(lease_ms);
                Some(Answer::Renewed { lost: database.renew(worker, leases, until) })
            }
            Call::Report { report, results, returned } => {
                database.report(worker, results, returned, now);
                Some(Answer::Reported { report })
            }
            Call::Stops => Some(Answer::Stops(database.stops_of(worker))),
            Call::Goodbye => {
                database.forget_worker(worker, None, now);
                None
            }
        };
        if let Some(answer) = answer {
            self.answer(worker, answer);
        }
    }

    /// What a look at the rows says is to be done.
    fn to_reap(&self, now: Timestamp) -> Vec<Act> {
        let database = &self.database;
        let mut acts = Vec::new();
        let heard_before = now - TimeDelta::milliseconds(self.scenario.plant.worker_timeout_ms);
        let silent = database.workers.iter().filter(|(_, row)| row.heard_at < heard_before);
        acts.extend(silent.map(|(&worker, _)| Act::ForgetWorker { worker, heard_before }));
        let status = database.task.status;
        if !status.admits_no_more() && database.task.expires_at.is_some_and(|expires_at| expires_at <= now) {
            acts.push(Act::Expire);
        }
        acts.extend(database.orphaned(now).into_iter().map(|batch| Act::Reclaim { batch }));
        if database.has_reachable(now) {
            acts.push(Act::HandOut);
        }
        let near = database.nearly_overdue(now);
        if !near.is_empty() {
            acts.push(Act::PutOff { ordinals: near });
        }
        if !database.sabotaged(Sabotage::ForgetDeadlines) {
            let batches = database.overdue_batches(now).into_iter();
            acts.extend(batches.map(|batch| Act::Overdue { batch: Some(batch), ordinals: Vec::new() }));
            let ordinals = database.overdue_stragglers(now);
            if !ordinals.is_empty() {
                acts.push(Act::Overdue { batch: None, ordinals });
            }
        }
        acts
    }
}
