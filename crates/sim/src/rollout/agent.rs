//! Agents: each runs on its desktop, journals a start before it starts, and answers from its journal. What happened on
//! the desktop itself is noted apart, as the truth that records are compared with.

mod orders;

use domain::outcome::Outcome;

use super::{
    coverage::Feature,
    dice::Dice,
    event::{Ended, Event, Order, Session, Worker},
    sabotage::Sabotage,
    scenario::Scenario,
    world::World,
};

/// What a script would do on a desktop.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Exits(i32),
    Hangs,
    /// The agent cannot even prepare it.
    Refused,
}

/// A script on a desktop.
#[derive(Debug, Clone, Copy)]
struct Script {
    fate: Fate,
    runs_ms: i64,
}

/// What the journal says, which survives.
#[derive(Debug, Clone, Default)]
enum Journal {
    #[default]
    Empty,
    /// The scripts before this one ended so; this one was started.
    Started(Vec<Ended>),
    Finished {
        scripts: Vec<Ended>,
        acked: bool,
    },
}

/// An order that waits or runs, which does not survive.
#[derive(Debug, Clone)]
struct Active {
    order: Order,
    is_stopped: bool,
    /// Ends of its scripts so far; `None` before its turn.
    ended: Option<Vec<Ended>>,
}

/// A desktop with its agent.
#[derive(Debug)]
pub(super) struct Agent {
    scripts: Vec<Script>,
    slow_ms: i64,
    /// Grows when the agent dies: what an earlier one was about to do does not happen.
    life: u32,
    is_up: bool,
    /// Which agent it is; grows when the desktop is reinstalled.
    install: u32,
    pub(super) session: Option<(Worker, Session)>,
    journal: Journal,
    active: Option<Active>,
}

impl Agent {
    pub(super) fn new(scenario: &Scenario, dice: &mut Dice) -> Self {
        let fleet = &scenario.fleet;
        let execution = scenario.timeouts.execution.num_milliseconds();
        let most = fleet.runs.num_milliseconds().max(1);
        let scripts = (0..scenario.scripts).map(|_| {
            let roll = dice.number(0, 99);
            let fate = if roll < fleet.failing {
                Fate::Exits(dice.pick(&fleet.exit_codes).unwrap_or(1))
            } else if roll < fleet.failing + fleet.hanging {
                Fate::Hangs
            } else if roll < fleet.failing + fleet.hanging + fleet.refused {
                Fate::Refused
            } else {
                Fate::Exits(0)
            };
            let runs_ms = dice.between(most / 20 + 1, most);
            // What runs longer than it may is ended.
            let fate = if runs_ms >= execution { Fate::Hangs } else { fate };
            let runs_ms = if matches!(fate, Fate::Hangs) { execution } else { runs_ms };
            Script { fate, runs_ms }
        });
        Self {
            scripts: scripts.collect(),
            slow_ms: dice.between(0, fleet.slow.num_milliseconds()),
            life: 0,
            is_up: true,
            install: 0,
            session: None,
            journal: Journal::Empty,
            active: None,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    /// A result that the worker does not know to be stored.
    fn unacked(&self) -> Option<Vec<Ended>> {
        match &self.journal {
            Journal::Finished { scripts, acked: false } => Some(scripts.clone()),
            _ => None,
        }
    }
}

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
