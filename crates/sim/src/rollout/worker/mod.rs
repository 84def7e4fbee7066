//! Workers: they hold the agents' connections, pull batches, dispatch orders and report. A killed
//! worker loses everything.

mod calls;

use std::collections::BTreeSet;

use super::{
    event::{
        Call, Desktop, Event, Leased, Order, Returned, Session, Target, TargetReport, TargetResult, ToAgent,
        Worker,
    },
    state::{Held, Lease, WorkerState},
    world::World,
};

impl World {
    /// A new run of a worker begins.
    pub(super) fn start_worker(&mut self) {
        let worker = self.workers.len();
        self.workers.push(WorkerState { alive: true, ..WorkerState::default() });
        self.worker_ids.extend(format!("{worker:05}").parse());
        self.clock.after(0, Event::Heartbeat { worker });
        let third = self.scenario.cluster.lease_ms / 3;
        self.clock.after(third, Event::Renewal { worker });
        self.clock.after(self.scenario.cluster.period_ms, Event::Pull { worker });
    }

    /// Kills a worker with everything in its memory. Its agents notice.
    pub(super) fn kill_worker(&mut self, worker: Worker) {
        if !self.workers[worker].alive {
            return;
        }
        self.end_worker(worker);
        let wait = self.rng.between(500, 20_000);
        self.clock.after(wait, Event::WorkerStarts);
    }

    fn end_worker(&mut self, worker: Worker) {
        let gone = std::mem::take(&mut self.workers[worker]);
        for &target in gone.targets.keys() {
            self.fault_of(target);
        }
        for report in gone.results.iter().chain(gone.report.iter().flat_map(|report| &report.results)) {
            self.fault_on(report.desktop);
        }
        for (desktop, session) in gone.sessions {
            let wait = self.rng.between(1, 5_000);
            self.clock.after(wait, Event::AgentLoses { desktop, session });
        }
    }

    /// Drains a worker: it pulls no more, closes idle connections and waits for running targets.
    pub(super) fn drain_worker(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        if !state.alive || state.draining {
            return;
        }
        state.draining = true;
        self.send_heartbeat(worker);
        self.clock.after(1_000, Event::WorkerStarts);
        self.go_on_draining(worker);
    }

    /// Closes idle connections. A worker that has nothing left says goodbye.
    fn go_on_draining(&mut self, worker: Worker) {
        let state = &mut self.workers[worker];
        if !state.alive || !state.draining {
            return;
        }
        let leased = state.targets.values().filter(|held| state.leases.contains_key(&held.batch));
        let busy: BTreeSet<Session> = leased.map(|held| held.session).collect();
        let idle = state.sessions.iter().map(|(&desktop, &session)| (desktop, session));
        let idle: Vec<_> = idle.filter(|(_, session)| !busy.contains(session)).collect();
        let is_done = state.is_done();
        for (desktop, session) in idle {
            self.end_session(worker, desktop, session);
            self.clock.after(5, Event::AgentLoses { desktop, session });
        }
        if is_done {
            self.send_call(worker, Call::Goodbye);
            self.end_worker(worker);
        }
    }

    /// An agent connects.
    pub(super) fn welcome(&mut self, worker: Worker, desktop: Desktop, session: Session) {
        if let Some(&older) = self.workers[worker].sessions.get(&desktop) {
            self.give_back(worker, older);
        }
        let state = &mut self.workers[worker];
        state.sessions.insert(desktop, session);
        state.changes.insert(desktop, true);
        self.announce_soon(worker);
    }

    /// A connection ends: its targets are given back.
    pub(super) fn end_session(&mut self, worker: Worker, desktop: Desktop, session: Session) {
        let state = &mut self.workers[worker];
        if !state.alive {
            return;
        }
        if state.sessions.get(&desktop) == Some(&session) {
            state.sessions.remove(&desktop);
            state.changes.insert(desktop, false);
            self.announce_soon(worker);
        }
        self.give_back(worker, session);
    }

    fn give_back(&mut self, worker: Worker, session: Session) {
        let state = &mut self.workers[worker];
        let held = state.targets.iter().filter(|(_, held)| held.session == session);
        let targets: Vec<Target> = held.map(|(&target, _)| target).collect();
        for target in targets {
            if let Some(held) = state.release(target) {
                state.returned.push(Returned { target, batch: held.batch, handed: true });
            }
        }
        self.flush_soon(worker);
    }

    /// Dispatches a batch to its agents, and gives back the targets of other agents.
    fn dispatch(&mut self, worker: Worker, leased: Leased) {
        let Leased { batch, task, deliver_by, query_only, max_running, members } = leased;
        self.workers[worker].leases.insert(batch, Lease { task, targets: 0 });
        for member in members {
            let target = Target { task, ordinal: member.ordinal };
            let desktop = self.desktop_of(target);
            let state = &mut self.workers[worker];
            let session = state.sessions.get(&desktop);
            let is_agent = |session: &&Session| self.installs.get(session) == Some(&member.agent);
            let Some(&session) = session.filter(is_agent) else {
                state.returned.push(Returned { target, batch, handed: false });
                continue;
            };
            // A target in hand from an earlier batch: its result settles this batch, too.
            if state.targets.contains_key(&target) {
                continue;
            }
            state.targets.insert(target, Held { batch, session });
            if let Some(lease) = state.leases.get_mut(&batch) {
                lease.targets += 1;
            }
            self.tasks[task].invariants.ordered(member.ordinal);
            let (first_script, is_stopped) = (member.first_script, member.is_stopped);
            let order = Order { target, deliver_by, query_only, max_running, first_script, is_stopped };
            self.send_to_agent(desktop, session, ToAgent::Order(order));
        }
        let state = &mut self.workers[worker];
        if state.leases.get(&batch).is_some_and(|lease| lease.targets == 0) {
            state.leases.remove(&batch);
        }
        self.flush_soon(worker);
    }

    /// A result of an agent arrives. It may name the target of another desktop.
    pub(super) fn take_result(
        &mut self,
        worker: Worker,
        (desktop, session): (Desktop, Session),
        target: Target,
        result: TargetResult,
    ) {
        let is_own = self.owner_of(target) == Some(desktop);
        let state = &mut self.workers[worker];
        if !state.alive || state.sessions.get(&desktop) != Some(&session) {
            return;
        }
        let batch = state.targets.get(&target).filter(|_| is_own).map(|held| held.batch);
        let agent = self.installs.get(&session).copied().unwrap_or_default();
        state.results.push(TargetReport { target, desktop, batch, agent, result });
        self.flush_soon(worker);
    }
}
