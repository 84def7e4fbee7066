//! Agents: each runs on its desktop, journals a start before it starts, and answers from its
//! journal. The invariants note the real events on the desktop apart, as the oracle for records.

mod orders;

use chrono::TimeDelta;
use domain::{Timestamp, outcome::Outcome};

use super::{
    coverage::Feature,
    event::{Desktop, Event, Session, Target, TargetResult, Task, Worker},
    mutant::Mutant,
    poison::Poison,
    state::Journal,
    world::World,
};

impl World {
    /// The agent dials a worker, unless its desktop is out of service. If no worker accepts
    /// connections, it tries again.
    pub(super) fn connect(&mut self, desktop: Desktop) {
        let agent = &self.agents[desktop];
        if !agent.is_up || agent.is_barred || agent.session.is_some() {
            return;
        }
        let open: Vec<Worker> = (0..self.workers.len())
            .filter(|&it| self.workers[it].alive && !self.workers[it].draining)
            .collect();
        let Some(worker) = self.rng.pick(&open) else {
            let wait = self.rng.between(1_000, 5_000);
            return self.clock.after(wait, Event::AgentConnects { desktop });
        };
        self.sessions += 1;
        let session = self.sessions;
        self.installs.insert(session, self.agents[desktop].install);
        self.boots.insert(session, self.agents[desktop].boot);
        self.agents[desktop].session = Some((worker, session));
        self.welcome(worker, desktop, session);
        let tasks: Vec<Task> = self.agents[desktop].journal.keys().copied().collect();
        tasks.into_iter().for_each(|task| self.send_result(desktop, task));
    }

    /// Sends the result of a task, if the journal has one that was not acknowledged.
    fn send_result(&mut self, desktop: Desktop, task: Task) {
        if let Some(
            Journal::Finished { target, result, is_acknowledged: false }
            | Journal::Paused { target, result, is_acknowledged: false },
        ) = self.agents[desktop].journal.get(&task)
        {
            let (target, result) = (*target, result.clone());
            self.send_to_worker(target, result);
        }
    }

    /// The agent's time.
    fn agent_time(&self, desktop: Desktop) -> Timestamp {
        self.clock.now + TimeDelta::milliseconds(self.agents[desktop].offset_ms)
    }

    /// A result of a target that ends now.
    fn result(&mut self, target: Target, scripts: Vec<super::event::ScriptOutcome>) -> TargetResult {
        self.result_before(target, scripts, None)
    }

    /// A result of a target, with the boot that a reboot ends.
    fn result_before(
        &mut self,
        target: Target,
        scripts: Vec<super::event::ScriptOutcome>,
        reboots_from: Option<u32>,
    ) -> TargetResult {
        let most = self.scenario.cluster.reported_skew_ms;
        let now = self.agent_time(self.desktop_of(target));
        let ended_at = (most > 0).then(|| now + TimeDelta::milliseconds(self.rng.between(-most, most)));
        let poison = self.tasks[target.task].poisons[target.ordinal as usize];
        // Before a reboot, a result of the first scripts alone is valid.
        let poison =
            poison.filter(|poison| reboots_from.is_none() || !matches!(poison, Poison::MissingScript));
        if let Some(poison) = poison {
            self.coverage.add(Feature::Poisoned);
            self.tasks[target.task].invariants.poisoned(target.ordinal, poison);
        }
        TargetResult { scripts, ended_at, poison, reboots_from }
    }

    /// The agent loses its connection. The worker notices later.
    pub(super) fn lose_session(&mut self, desktop: Desktop, session: Session) {
        let agent = &mut self.agents[desktop];
        if agent.session.is_none_or(|(_, current)| current != session) {
            return;
        }
        self.fault_on(desktop);
        self.drop_session(desktop);
        let wait = self.rng.between(100, 6_000);
        self.clock.after(wait, Event::AgentConnects { desktop });
    }

    fn drop_session(&mut self, desktop: Desktop) {
        if let Some((worker, session)) = self.agents[desktop].session.take() {
            let wait = self.rng.between(1, 15_000);
            self.clock.after(wait, Event::SessionEnds { worker, desktop, session });
        }
    }

    /// The desktop is offline for a while. Its scripts go on.
    pub(super) fn leave(&mut self, desktop: Desktop, away_ms: i64) {
        self.fault_on(desktop);
        self.drop_session(desktop);
        self.clock.after(away_ms, Event::AgentConnects { desktop });
    }

    /// The desktop is reinstalled while it is offline: another agent comes back, without a journal.
    fn reinstall(&mut self, desktop: Desktop) {
        self.coverage.add(Feature::Reinstalled);
        let agent = &mut self.agents[desktop];
        agent.install += 1;
        agent.journal.clear();
    }

    /// The desktop restarts, and its scripts are lost.
    pub(super) fn reboot(&mut self, desktop: Desktop, away_ms: i64) {
        if !self.agents[desktop].is_up {
            return;
        }
        self.fault_on(desktop);
        self.drop_session(desktop);
        let agent = &mut self.agents[desktop];
        agent.life += 1;
        agent.boot += 1;
        agent.is_up = false;
        agent.active.clear();
        agent.queue.clear();
        // A tenth of the restarts, without a further draw.
        if away_ms % 10 == 0 {
            self.reinstall(desktop);
        }
        self.clock.after(away_ms, Event::AgentReturns { desktop });
    }

    /// The desktop reboots, because a stored result asks for it. Nothing of ours runs then. It
    /// comes back soon, late or never.
    pub(super) fn reboot_as_planned(&mut self, desktop: Desktop, boot: u32, until: Timestamp) {
        let now = self.agent_time(desktop);
        let agent = &self.agents[desktop];
        if !agent.is_up || agent.boot != boot || now >= until {
            return;
        }
        if agent.running() > 0 {
            let wait = self.rng.between(1_000, 4_000);
            return self.clock.after(wait, Event::PlannedReboot { desktop, boot, until });
        }
        self.coverage.add(Feature::PlannedReboot);
        let never = self.rng.percent(self.scenario.fleet.lost_by_reboot);
        let away_ms = self.rng.between(500, self.scenario.fleet.reboots_within.num_milliseconds());
        // Orders that wait on the desktop are lost with it.
        if never || !self.agents[desktop].active.is_empty() {
            self.fault_on(desktop);
        }
        self.drop_session(desktop);
        let agent = &mut self.agents[desktop];
        agent.life += 1;
        agent.boot += 1;
        agent.is_up = false;
        agent.active.clear();
        agent.queue.clear();
        if never {
            self.coverage.add(Feature::LostByReboot);
        } else {
            self.clock.after(away_ms, Event::AgentReturns { desktop });
        }
    }

    /// The agent starts again. A script that its journal holds as started and not finished is
    /// UNKNOWN.
    pub(super) fn come_back(&mut self, desktop: Desktop) {
        let forgets = self.mutant == Some(Mutant::NoJournal);
        let agent = &mut self.agents[desktop];
        agent.is_up = true;
        if forgets {
            agent.journal.clear();
        }
        for (&task, journal) in &mut agent.journal {
            let Journal::Started { target, before } = journal else { continue };
            let mut scripts = std::mem::take(before);
            scripts.push((Outcome::Unknown, None));
            scripts.resize(self.tasks[task].spec.scripts.into(), (Outcome::Skipped, None));
            let result = TargetResult { scripts, ended_at: None, poison: None, reboots_from: None };
            *journal = Journal::Finished { target: *target, result, is_acknowledged: false };
        }
        self.connect(desktop);
    }
}
