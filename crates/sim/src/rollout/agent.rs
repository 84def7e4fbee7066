//! Agents: each runs on its desktop, journals a start before it starts, and answers from its journal. What happened on
//! the desktop itself is noted apart, as the truth that records are compared with.

mod orders;

use domain::outcome::Outcome;

use super::{
    coverage::Feature,
    event::{Event, Session, Worker},
    sabotage::Sabotage,
    state::Journal,
    world::World,
};

impl World {
    /// The agent dials a worker; where none answers, it tries again.
    pub(super) fn connect(&mut self, ordinal: u32) {
        let agent = &self.agents[ordinal as usize];
        if !agent.is_up || agent.session.is_some() {
            return;
        }
        let open: Vec<Worker> = (0..self.workers.len())
            .filter(|&it| self.workers[it].alive && !self.workers[it].draining)
            .collect();
        let Some(worker) = self.dice.pick(&open) else {
            let wait = self.dice.between(1_000, 5_000);
            return self.clock.after(wait, Event::AgentConnects { ordinal });
        };
        self.sessions += 1;
        let session = self.sessions;
        self.installs.insert(session, self.agents[ordinal as usize].install);
        self.agents[ordinal as usize].session = Some((worker, session));
        self.welcome(worker, ordinal, session);
        self.send_result(ordinal);
    }

    /// Sends the agent's result, if it has one that is not known to be stored.
    fn send_result(&mut self, ordinal: u32) {
        let agent = &self.agents[ordinal as usize];
        if let Some(results) = agent.unacked() {
            self.send_to_worker(ordinal, results);
        }
    }

    /// The connection is gone for the agent; the worker notices by itself.
    pub(super) fn lose_session(&mut self, ordinal: u32, session: Session) {
        let agent = &mut self.agents[ordinal as usize];
        if agent.session.is_none_or(|(_, current)| current != session) {
            return;
        }
        self.promises.fault(ordinal);
        self.drop_session(ordinal);
        let wait = self.dice.between(100, 6_000);
        self.clock.after(wait, Event::AgentConnects { ordinal });
    }

    fn drop_session(&mut self, ordinal: u32) {
        if let Some((worker, session)) = self.agents[ordinal as usize].session.take() {
            let wait = self.dice.between(1, 15_000);
            self.clock.after(wait, Event::SessionEnds { worker, ordinal, session });
        }
    }

    /// The desktop cannot be reached for a while; what runs on it goes on.
    pub(super) fn leave(&mut self, ordinal: u32, away_ms: i64) {
        self.promises.fault(ordinal);
        self.drop_session(ordinal);
        self.clock.after(away_ms, Event::AgentConnects { ordinal });
    }

    /// The desktop is reinstalled while it is away: another agent comes back, without a journal.
    pub(super) fn reinstall(&mut self, ordinal: u32) {
        self.coverage.add(Feature::Reinstalled);
        let agent = &mut self.agents[ordinal as usize];
        agent.install += 1;
        agent.journal = Journal::Empty;
    }

    /// The desktop restarts; what runs on it is gone.
    pub(super) fn reboot(&mut self, ordinal: u32, away_ms: i64) {
        self.promises.fault(ordinal);
        self.drop_session(ordinal);
        let agent = &mut self.agents[ordinal as usize];
        agent.life += 1;
        agent.is_up = false;
        agent.active = None;
        // A tenth of the restarts, without a further roll of the dice: kept stories stay what they were.
        if away_ms % 10 == 0 {
            self.reinstall(ordinal);
        }
        self.clock.after(away_ms, Event::AgentReturns { ordinal });
    }

    /// The agent starts again: what its journal says was started and not finished is UNKNOWN.
    pub(super) fn come_back(&mut self, ordinal: u32) {
        let forgets = self.sabotage == Some(Sabotage::NoJournal);
        let agent = &mut self.agents[ordinal as usize];
        agent.is_up = true;
        if forgets {
            agent.journal = Journal::Empty;
        }
        if let Journal::Started(before) = &agent.journal {
            let mut scripts = before.clone();
            scripts.push((Outcome::Unknown, None));
            scripts.resize(agent.scripts.len(), (Outcome::Skipped, None));
            agent.journal = Journal::Finished { scripts, acked: false };
        }
        self.connect(ordinal);
    }
}
