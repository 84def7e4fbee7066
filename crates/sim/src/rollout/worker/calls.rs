//! Calls of a worker to schedulers, and the handling of their answers.

use chrono::TimeDelta;

use crate::rollout::{
    event::{Answer, Call, Event, Presence, TargetReport, ToAgent, Worker},
    state::Report,
    world::World,
};

/// Time after which a report without an answer is sent again.
const REPORT_TIMEOUT_MS: i64 = 5_000;
/// Deadline of a presence update.
const PRESENCE_TIMEOUT_MS: i64 = 15_000;
/// Period in which a worker asks for stops until their targets have ended.
const STOPS_EVERY_MS: i64 = 2_000;

impl World {
    /// Sends a heartbeat, and asks for stops.
    pub(in crate::rollout) fn heartbeat(&mut self, worker: Worker) {
        if !self.workers[worker].alive {
            return;
        }
        self.send_heartbeat(worker);
        self.go_on_draining(worker);
        if self.store.has_stops() {
            self.clock.after(STOPS_EVERY_MS, Event::Call { worker, call: Call::Stops });
        }
        if self.workers[worker].alive {
            let wait = self.scenario.cluster.heartbeat_ms;
            self.clock.after(wait, Event::Heartbeat { worker });
        }
    }

    pub(super) fn send_heartbeat(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        // A heartbeat without an answer may have been the one that stored the worker.
        state.may_be_new |= std::mem::replace(&mut state.awaits_heartbeat, true);
        let draining = state.draining;
        self.send_call(worker, Call::Heartbeat { draining });
    }

    pub(in crate::rollout) fn renew(&mut self, worker: Worker) {
        let state = &self.workers[worker];
        if !state.alive {
            return;
        }
        let leases: Vec<_> = state.leases.iter().map(|(&batch, lease)| (lease.task, batch)).collect();
        if !leases.is_empty() {
            self.send_call(worker, Call::Renew { leases });
        }
        let third = self.scenario.cluster.lease_ms / 3;
        self.clock.after(third, Event::Renewal { worker });
    }

    /// Pulls if there is room; with `again`, also after a while.
    pub(in crate::rollout) fn pull(&mut self, worker: Worker, again: bool) {
        let state = &self.workers[worker];
        if !state.alive || state.draining {
            return;
        }
        let held: u32 = state.leases.values().map(|lease| lease.targets).sum();
        let room = self.scenario.cluster.capacity.saturating_sub(held);
        let has_ready = self.store.has_ready(&self.worker_ids[worker]);
        if room > 0 && has_ready {
            self.send_call(worker, Call::Pull { room });
        }
        if again {
            let wait = self.scenario.cluster.period_ms * 2;
            self.clock.after(wait, Event::Pull { worker });
        }
    }

    /// Has the workers with ready batches pull.
    pub(in crate::rollout) fn wake_pullers(&mut self) {
        for worker in 0..self.workers.len() {
            let has_ready = self.workers[worker].alive && self.store.has_ready(&self.worker_ids[worker]);
            if has_ready && !self.is_lost() {
                self.pull(worker, false);
            }
        }
    }

    /// Has all workers ask at once for stops.
    pub(in crate::rollout) fn ask_for_stops(&mut self) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].alive {
                self.send_call(worker, Call::Stops);
            }
        }
    }

    pub(super) fn announce_soon(&mut self, worker: Worker) {
        if !std::mem::replace(&mut self.workers[worker].announces, true) {
            let wait = self.rng.between(1, 50);
            self.clock.after(wait, Event::AnnouncePresence { worker });
        }
    }

    /// Sends a presence update, one at a time. Changes without an answer are sent again.
    pub(in crate::rollout) fn announce(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        state.announces = false;
        if !state.alive || state.changes.is_empty() || state.update.is_some() {
            return;
        }
        let changes = std::mem::take(&mut state.changes);
        let (installs, boots) = (&self.installs, &self.boots);
        let presence = |(&desktop, &is_online): (&usize, &bool)| {
            let session = state.sessions.get(&desktop);
            let agent = session.and_then(|session| installs.get(session)).copied();
            let boot = session.and_then(|session| boots.get(session)).copied().unwrap_or_default();
            Presence { desktop, agent: agent.filter(|_| is_online), boot }
        };
        let announced: Vec<Presence> = changes.iter().map(presence).collect();
        state.updates += 1;
        let update = state.updates;
        state.update = Some((update, changes));
        let deadline = self.clock.now + TimeDelta::milliseconds(PRESENCE_TIMEOUT_MS);
        self.send_call(worker, Call::Presence { update, changes: announced, deadline });
        self.clock.after(PRESENCE_TIMEOUT_MS, Event::PresenceTimeout { worker, update });
    }

    /// A presence update is over. Changes that are not known are sent again, unless they changed
    /// meanwhile.
    pub(in crate::rollout) fn presence_answered(&mut self, worker: Worker, update: u64, known: bool) {
        let state = &mut self.workers[worker];
        let Some((_, changes)) = state.update.take_if(|(number, _)| *number == update) else { return };
        if !known {
            for (desktop, is_online) in changes {
                state.changes.entry(desktop).or_insert(is_online);
            }
        }
        if !state.changes.is_empty() && !std::mem::replace(&mut state.announces, true) {
            self.clock.after(if known { 5 } else { 1_000 }, Event::AnnouncePresence { worker });
        }
    }

    pub(super) fn flush_soon(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        if state.report.is_none() && !std::mem::replace(&mut state.flushes, true) {
            let wait = self.rng.between(0, 20);
            self.clock.after(wait, Event::Flush { worker });
        }
    }

    /// Sends a report. Results that arrive while it is on its way are in the next one.
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
        self.clock.after(REPORT_TIMEOUT_MS, Event::ReportTimeout { worker, report: number });
    }

    /// A scheduler's answer arrives.
    pub(in crate::rollout) fn answered(&mut self, worker: Worker, answer: Answer) {
        let state = &mut self.workers[worker];
        if !state.alive {
            return;
        }
        match answer {
            Answer::Heartbeat { is_new } => {
                state.awaits_heartbeat = false;
                if std::mem::take(&mut state.may_be_new) || is_new {
                    for &desktop in state.sessions.keys() {
                        state.changes.entry(desktop).or_insert(true);
                    }
                    self.announce_soon(worker);
                }
            }
            Answer::Presence { update, known } => self.presence_answered(worker, update, known),
            Answer::Batches(batches) => {
                for leased in batches {
                    self.dispatch(worker, leased);
                }
            }
            Answer::Renewed { lost } => lost.iter().for_each(|batch| {
                state.leases.remove(batch);
            }),
            Answer::Reported { report } => self.reported(worker, report),
            Answer::Stops(targets) => {
                for target in targets {
                    let desktop = self.desktop_of(target);
                    let state = &self.workers[worker];
                    let Some(held) = state.targets.get(&target) else { continue };
                    if state.sessions.get(&desktop) == Some(&held.session) {
                        self.send_to_agent(desktop, held.session, ToAgent::Stop(target));
                    }
                }
            }
        }
    }

    /// A report is stored: its targets are released, and their agents get acknowledgements.
    fn reported(&mut self, worker: Worker, number: u64) {
        let state = &mut self.workers[worker];
        let Some(report) = state.report.take_if(|report| report.number == number) else { return };
        for TargetReport { target, desktop, .. } in &report.results {
            // A result for the target of another desktop releases nothing.
            if self.owner_of(*target) == Some(*desktop) {
                self.workers[worker].release(*target);
            }
        }
        for result in &report.results {
            if let Some(&session) = self.workers[worker].sessions.get(&result.desktop) {
                let message = ToAgent::Acknowledge(result.target, result.result.scripts.len());
                self.send_to_agent(result.desktop, session, message);
            }
        }
        self.flush_soon(worker);
        self.pull(worker, false);
        self.go_on_draining(worker);
    }
}
