//! The state of an agent and its desktop.

use crate::rollout::{
    dice::Dice,
    event::{Ended, Order, Session, Worker},
    scenario::Scenario,
};

/// What a script would do on a desktop.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) enum Fate {
    Exits(i32),
    Hangs,
    /// The agent cannot even prepare it.
    Refused,
}

/// A script on a desktop.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct Script {
    pub(in crate::rollout) fate: Fate,
    pub(in crate::rollout) runs_ms: i64,
}

/// What the journal says, which survives.
#[derive(Debug, Clone, Default)]
pub(in crate::rollout) enum Journal {
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
pub(in crate::rollout) struct Active {
    pub(in crate::rollout) order: Order,
    pub(in crate::rollout) is_stopped: bool,
    /// Ends of its scripts so far; `None` before its turn.
    pub(in crate::rollout) ended: Option<Vec<Ended>>,
}

/// A desktop with its agent.
#[derive(Debug)]
pub(in crate::rollout) struct Agent {
    pub(in crate::rollout) scripts: Vec<Script>,
    pub(in crate::rollout) slow_ms: i64,
    /// Grows when the agent dies: what an earlier one was about to do does not happen.
    pub(in crate::rollout) life: u32,
    pub(in crate::rollout) is_up: bool,
    /// Which agent it is; grows when the desktop is reinstalled.
    pub(in crate::rollout) install: u32,
    pub(in crate::rollout) session: Option<(Worker, Session)>,
    pub(in crate::rollout) journal: Journal,
    pub(in crate::rollout) active: Option<Active>,
}

impl Agent {
    pub(in crate::rollout) fn new(scenario: &Scenario, dice: &mut Dice) -> Self {
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

    pub(in crate::rollout) const fn is_up(&self) -> bool {
        self.is_up
    }

    /// A result that the worker does not know to be stored.
    pub(in crate::rollout) fn unacked(&self) -> Option<Vec<Ended>> {
        match &self.journal {
            Journal::Finished { scripts, acked: false } => Some(scripts.clone()),
            _ => None,
        }
    }
}
