//! What a worker asks of schedulers, and what it does with the answers.

use chrono::TimeDelta;

use crate::rollout::{
    event::{Answer, Call, Event, Presence, ToAgent, Worker},
    state::Report,
    world::World,
};

/// How long a report waits for its answer before it is sent again.
const ANSWER_WITHIN_MS: i64 = 5_000;
/// How long a call that tells who came and went may take.
const TOLD_WITHIN_MS: i64 = 15_000;
/// How often stops are told again until their targets have ended.
const STOPS_EVERY_MS: i64 = 2_000;

impl World {
    /// Says that it lives; asks for stops on the way.
    pub(in crate::rollout) fn heartbeat(&mut self, worker: Worker) {
        if !self.workers[worker].alive {
            return;
        }
        let draining = self.workers[worker].draining;
        self.send_call(worker, Call::Heartbeat { draining });
        self.go_on_draining(worker);
        if self.store.has_stops() {
            self.clock.after(STOPS_EVERY_MS, Event::Call { worker, call: Call::Stops });
        }
        if self.workers[worker].alive {
            let wait = self.scenario.plant.heartbeat_ms;
            self.clock.after(wait, Event::Heartbeat { worker });
        }
    }

    pub(in crate::rollout) fn renew(&mut self, worker: Worker) {
        let state = &self.workers[worker];
        if !state.alive {
            return;
        }
        let leases: Vec<_> = state.batches.keys().copied().collect();
        if !leases.is_empty() {
            self.send_call(worker, Call::Renew { leases });
        }
        let third = self.scenario.plant.lease_ms / 3;
        self.clock.after(third, Event::Renewal { worker });
    }

    /// Pulls while there is room, and again after a while.
    pub(in crate::rollout) fn pull(&mut self, worker: Worker, again: bool) {
        let state = &self.workers[worker];
        if !state.alive || state.draining {
            return;
        }
        let held = u32::try_from(state.targets.len()).unwrap_or(u32::MAX);
        let room = self.scenario.plant.capacity.saturating_sub(held);
        let has_ready = self.store.has_ready(&self.worker_ids[worker]);
        if room > 0 && has_ready {
            self.send_call(worker, Call::Pull { room });
        }
        if again {
            let wait = self.scenario.plant.period_ms * 2;
            self.clock.after(wait, Event::Pull { worker });
        }
    }

    /// Has the workers pull that have something ready.
    pub(in crate::rollout) fn wake_pullers(&mut self) {
        for worker in 0..self.workers.len() {
            let has_ready = self.workers[worker].alive && self.store.has_ready(&self.worker_ids[worker]);
            if has_ready && !self.is_lost() {
                self.pull(worker, false);
            }
        }
    }

    /// Has the workers asked at once what is to be stopped.
    pub(in crate::rollout) fn tell_stops(&mut self) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].alive {
                self.send_call(worker, Call::Stops);
            }
        }
    }

    pub(in crate::rollout) fn tell_soon(&mut self, worker: Worker) {
        if !std::mem::replace(&mut self.workers[worker].tells, true) {
            let wait = self.dice.between(1, 50);
            self.clock.after(wait, Event::Tell { worker });
        }
    }

    /// Tells who came and went, one call after the other. What no scheduler answers is told again.
    pub(in crate::rollout) fn tell(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        state.tells = false;
        if !state.alive || state.changes.is_empty() || state.telling.is_some() {
            return;
        }
        let changes = std::mem::take(&mut state.changes);
        let installs = &self.installs;
        let agent = |ordinal: u32| state.sessions.get(&ordinal).and_then(|session| installs.get(session));
        let told: Vec<Presence> = changes
            .iter()
            .map(|(&ordinal, &is_there)| Presence {
                ordinal,
                agent: agent(ordinal).copied().filter(|_| is_there),
            })
            .collect();
        state.told += 1;
        let tell = state.told;
        state.telling = Some((tell, changes));
        let deadline = self.clock.now + TimeDelta::milliseconds(TOLD_WITHIN_MS);
        self.send_call(worker, Call::Presence { tell, changes: told, deadline });
        self.clock.after(TOLD_WITHIN_MS, Event::TellAgain { worker, tell });
    }

    /// A call is over: what was not heard is told again, unless it changed meanwhile.
    pub(in crate::rollout) fn has_told(&mut self, worker: Worker, tell: u64, known: bool) {
        let state = &mut self.workers[worker];
        let Some((_, untold)) = state.telling.take_if(|(number, _)| *number == tell) else { return };
        if !known {
            for (ordinal, is_there) in untold {
                state.changes.entry(ordinal).or_insert(is_there);
            }
        }
        if !state.changes.is_empty() && !std::mem::replace(&mut state.tells, true) {
            self.clock.after(if known { 5 } else { 1_000 }, Event::Tell { worker });
        }
    }

    pub(in crate::rollout) fn flush_soon(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        if state.report.is_none() && !std::mem::replace(&mut state.flushes, true) {
            let wait = self.dice.between(0, 20);
            self.clock.after(wait, Event::Flush { worker });
        }
    }

    /// Reports what has come; what comes while a report is on its way makes the next one.
    pub(in crate::rollout) fn flush(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        state.flushes = false;
        let has_nothing = state.results.is_empty() && state.returned.is_empty();
        if !state.alive || state.report.is_some() || has_nothing {
            return;
        }
        state.reports += 1;
        let number = state.reports;
        let results = std::mem::take(&mut state.results);
        let returned = std::mem::take(&mut state.returned);
        state.report = Some(Report { number, results, returned });
        self.send_report(worker, number);
    }

    /// Sends a report, for the first time or again, until it is answered.
    pub(in crate::rollout) fn send_report(&mut self, worker: Worker, number: u64) {
        let report = self.workers[worker].report.as_ref();
        let Some(Report { results, returned, .. }) = report.filter(|report| report.number == number) else {
            return;
        };
        let call = Call::Report { report: number, results: results.clone(), returned: returned.clone() };
        self.send_call(worker, call);
        self.clock.after(ANSWER_WITHIN_MS, Event::SendAgain { worker, report: number });
    }

    /// A scheduler has answered.
    pub(in crate::rollout) fn answered(&mut self, worker: Worker, answer: Answer) {
        let state = &mut self.workers[worker];
        if !state.alive {
            return;
        }
        match answer {
            Answer::Heartbeat { is_new } => {
                if is_new {
                    for &ordinal in state.sessions.keys() {
                        state.changes.entry(ordinal).or_insert(true);
                    }
                    self.tell_soon(worker);
                }
            }
            Answer::Presence { tell, known } => self.has_told(worker, tell, known),
            Answer::Batches(batches) => {
                for leased in batches {
                    self.dispatch(worker, leased);
                }
            }
            Answer::Renewed { lost } => lost.iter().for_each(|batch| {
                state.batches.remove(batch);
            }),
            Answer::Reported { report } => self.reported(worker, report),
            Answer::Stops(ordinals) => {
                for ordinal in ordinals {
                    let state = &self.workers[worker];
                    let Some(held) = state.targets.get(&ordinal) else { continue };
                    if state.sessions.get(&ordinal) == Some(&held.session) {
                        self.send_to_agent(ordinal, held.session, ToAgent::Stop);
                    }
                }
            }
        }
    }

    /// A report is stored: its targets are let go, and their agents told.
    fn reported(&mut self, worker: Worker, number: u64) {
        let state = &mut self.workers[worker];
        let Some(report) = state.report.take_if(|report| report.number == number) else { return };
        for target in &report.results {
            state.let_go(target.ordinal);
        }
        for target in &report.results {
            if let Some(&session) = self.workers[worker].sessions.get(&target.ordinal) {
                self.send_to_agent(target.ordinal, session, ToAgent::Ack);
            }
        }
        self.flush_soon(worker);
        self.pull(worker, false);
        self.go_on_draining(worker);
    }
}
