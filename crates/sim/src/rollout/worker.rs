//! Workers: they hold the agents' connections, pull batches, hand them out and report. Killed, they forget everything.

mod calls;

use std::collections::BTreeSet;

use super::{
    event::{Call, Ended, Event, Leased, Order, Returned, Session, TargetReport, ToAgent, Worker},
    state::{Held, WorkerState},
    world::World,
};

impl World {
    /// A new run of a worker begins.
    pub(super) fn start_worker(&mut self) {
        let worker = self.workers.len();
        self.workers.push(WorkerState { alive: true, ..WorkerState::default() });
        self.worker_ids.extend(format!("{worker:05}").parse());
        self.clock.after(0, Event::Heartbeat { worker });
        let third = self.scenario.plant.lease_ms / 3;
        self.clock.after(third, Event::Renewal { worker });
        self.clock.after(self.scenario.plant.period_ms, Event::Pull { worker });
    }

    /// A kill -9: everything in memory is gone, and its agents notice.
    pub(super) fn kill_worker(&mut self, worker: Worker) {
        if !self.workers[worker].alive {
            return;
        }
        self.end_worker(worker);
        let wait = self.dice.between(500, 20_000);
        self.clock.after(wait, Event::WorkerStarts);
    }

    fn end_worker(&mut self, worker: Worker) {
        let gone = std::mem::take(&mut self.workers[worker]);
        for &ordinal in gone.targets.keys() {
            self.promises.fault(ordinal);
        }
        for target in gone.results.iter().chain(gone.report.iter().flat_map(|report| &report.results)) {
            self.promises.fault(target.ordinal);
        }
        for (ordinal, session) in gone.sessions {
            let wait = self.dice.between(1, 5_000);
            self.clock.after(wait, Event::AgentLoses { ordinal, session });
        }
    }

    /// Told to stop, a worker takes nothing new, sends idle agents elsewhere and waits for what runs.
    pub(super) fn drain_worker(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        if !state.alive || state.draining {
            return;
        }
        state.draining = true;
        self.send_call(worker, Call::Heartbeat { draining: true });
        self.clock.after(1_000, Event::WorkerStarts);
        self.go_on_draining(worker);
    }

    /// Closes what is idle; with nothing left, says goodbye.
    pub(super) fn go_on_draining(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        if !state.alive || !state.draining {
            return;
        }
        let busy: BTreeSet<Session> = state.targets.values().map(|held| held.session).collect();
        let idle: Vec<(u32, Session)> = state
            .sessions
            .iter()
            .map(|(&o, &s)| (o, s))
            .filter(|(_, session)| !busy.contains(session))
            .collect();
        let is_done = state.is_done();
        for (ordinal, session) in idle {
            self.end_session(worker, ordinal, session);
            self.clock.after(5, Event::AgentLoses { ordinal, session });
        }
        if is_done {
            self.send_call(worker, Call::Goodbye);
            self.end_worker(worker);
        }
    }

    /// An agent says hello.
    pub(super) fn welcome(&mut self, worker: Worker, ordinal: u32, session: Session) {
        if let Some(&older) = self.workers[worker].sessions.get(&ordinal) {
            self.give_back(worker, older);
        }
        let state = &mut self.workers[worker];
        state.sessions.insert(ordinal, session);
        state.changes.insert(ordinal, true);
        self.tell_soon(worker);
    }

    /// A connection is gone: what was handed out on it is given back.
    pub(super) fn end_session(&mut self, worker: Worker, ordinal: u32, session: Session) {
        let state = &mut self.workers[worker];
        if !state.alive {
            return;
        }
        if state.sessions.get(&ordinal) == Some(&session) {
            state.sessions.remove(&ordinal);
            state.changes.insert(ordinal, false);
            self.tell_soon(worker);
        }
        self.give_back(worker, session);
    }

    fn give_back(&mut self, worker: Worker, session: Session) {
        let state = &mut self.workers[worker];
        let held = state.targets.iter().filter(|(_, held)| held.session == session);
        let ordinals: Vec<u32> = held.map(|(&ordinal, _)| ordinal).collect();
        for ordinal in ordinals {
            if let Some(held) = state.let_go(ordinal) {
                state.returned.push(Returned { ordinal, batch: held.batch, handed: true });
            }
        }
        self.flush_soon(worker);
    }

    /// Hands a batch's targets to their agents; gives back what cannot be.
    fn dispatch(&mut self, worker: Worker, leased: Leased) {
        let Leased { batch, order, ordinals, agents, stops } = leased;
        self.workers[worker].batches.insert(batch, 0);
        for (ordinal, agent) in ordinals.into_iter().zip(agents) {
            let state = &mut self.workers[worker];
            let session = state.sessions.get(&ordinal);
            let Some(&session) = session.filter(|session| self.installs.get(session) == Some(&agent)) else {
                state.returned.push(Returned { ordinal, batch, handed: false });
                continue;
            };
            // In hand from an earlier batch: its result settles this one too.
            if state.targets.contains_key(&ordinal) {
                continue;
            }
            state.targets.insert(ordinal, Held { batch, session });
            *state.batches.entry(batch).or_default() += 1;
            self.promises.ordered(ordinal);
            self.send_to_agent(
                ordinal,
                session,
                ToAgent::Order(Order { stop: stops.contains(&ordinal), ..order }),
            );
        }
        let state = &mut self.workers[worker];
        if state.batches.get(&batch) == Some(&0) {
            state.batches.remove(&batch);
        }
        self.flush_soon(worker);
    }

    /// A result of an agent.
    pub(super) fn take_result(
        &mut self,
        worker: Worker,
        ordinal: u32,
        session: Session,
        scripts: Vec<Ended>,
    ) {
        let state = &mut self.workers[worker];
        if !state.alive || state.sessions.get(&ordinal) != Some(&session) {
            return;
        }
        let batch = state.targets.get(&ordinal).map(|held| held.batch);
        let agent = self.installs.get(&session).copied().unwrap_or_default();
        state.results.push(TargetReport { ordinal, batch, agent, scripts });
        self.flush_soon(worker);
    }
}
