//! The state of an agent and its desktop.

use std::collections::{BTreeMap, VecDeque};

use crate::rollout::{
    event::{Order, ScriptOutcome, Session, Target, TargetResult, Task, Worker},
    rng::Rng,
    scenario::{Fleet, TaskSpec},
};

/// How a script would end on a desktop.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) enum ScriptEnd {
    Exits(i32),
    /// It runs until its timeout.
    Hangs,
    /// The agent rejects it.
    Refused,
}

/// A script on a desktop.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct Script {
    pub(in crate::rollout) end: ScriptEnd,
    pub(in crate::rollout) runs_ms: i64,
}

impl Script {
    /// Draws the scripts of one target.
    pub(in crate::rollout) fn drawn(fleet: &Fleet, task: &TaskSpec, rng: &mut Rng) -> Vec<Self> {
        let execution = task.timeouts.execution.num_milliseconds();
        let most = fleet.runs.num_milliseconds().max(1);
        let script = |_| {
            let roll = rng.number(0, 99);
            let end = if roll < fleet.failing {
                ScriptEnd::Exits(rng.pick(&fleet.exit_codes).unwrap_or(1))
            } else if roll < fleet.failing + fleet.hanging {
                ScriptEnd::Hangs
            } else if roll < fleet.failing + fleet.hanging + fleet.refused {
                ScriptEnd::Refused
            } else {
                ScriptEnd::Exits(0)
            };
            let runs_ms = rng.between(most / 20 + 1, most);
            // The agent kills a script at its timeout.
            let end = if runs_ms >= execution { ScriptEnd::Hangs } else { end };
            let runs_ms = if matches!(end, ScriptEnd::Hangs) { execution } else { runs_ms };
            Self { end, runs_ms }
        };
        (0..task.scripts).map(script).collect()
    }
}

/// The journal of one target. It survives restarts of the agent.
#[derive(Debug, Clone)]
pub(in crate::rollout) enum Journal {
    /// The scripts before this one ended with these outcomes; this one was started.
    Started {
        target: Target,
        before: Vec<ScriptOutcome>,
    },
    /// The desktop reboots before the remaining scripts.
    Paused {
        target: Target,
        result: TargetResult,
        is_acknowledged: bool,
    },
    Finished {
        target: Target,
        result: TargetResult,
        is_acknowledged: bool,
    },
}

/// An order that waits or runs. It does not survive restarts of the agent.
#[derive(Debug, Clone)]
pub(in crate::rollout) struct Active {
    pub(in crate::rollout) order: Order,
    pub(in crate::rollout) is_stopped: bool,
    /// Outcomes of its scripts so far; `None` before its turn.
    pub(in crate::rollout) ended: Option<Vec<ScriptOutcome>>,
    /// Outcomes of the scripts before a reboot, for an order that continues after it.
    pub(in crate::rollout) resumes: Option<Vec<ScriptOutcome>>,
}

/// A desktop with its agent.
#[derive(Debug)]
pub(in crate::rollout) struct Agent {
    /// Place of its project.
    pub(in crate::rollout) project: usize,
    pub(in crate::rollout) slow_ms: i64,
    /// Difference between its clock and the true time.
    pub(in crate::rollout) offset_ms: i64,
    /// Number of restarts. Events of an earlier life are stale.
    pub(in crate::rollout) life: u32,
    pub(in crate::rollout) is_up: bool,
    /// Whether it is retired, or its certificate is revoked: workers refuse it.
    pub(in crate::rollout) is_barred: bool,
    /// Number of boots of the desktop.
    pub(in crate::rollout) boot: u32,
    /// Number of reinstallations: the agent's id.
    pub(in crate::rollout) install: u32,
    pub(in crate::rollout) session: Option<(Worker, Session)>,
    pub(in crate::rollout) journal: BTreeMap<Task, Journal>,
    pub(in crate::rollout) active: BTreeMap<Task, Active>,
    /// Orders whose turn came while too many others ran, oldest first.
    pub(in crate::rollout) queue: VecDeque<Task>,
    /// Whether a fault on this desktop may explain that the end of a target was never learnt.
    pub(in crate::rollout) is_faulted: bool,
}

impl Agent {
    pub(in crate::rollout) fn new(project: usize, fleet: &Fleet, rng: &mut Rng) -> Self {
        Self {
            project,
            slow_ms: rng.between(0, fleet.slow.num_milliseconds()),
            offset_ms: 0,
            life: 0,
            is_up: true,
            is_barred: false,
            boot: 0,
            install: 0,
            session: None,
            journal: BTreeMap::new(),
            active: BTreeMap::new(),
            queue: VecDeque::new(),
            is_faulted: false,
        }
    }

    /// Number of orders that run.
    pub(in crate::rollout) fn running(&self) -> usize {
        self.active.values().filter(|active| active.ended.is_some()).count()
    }

    /// The result of a task that the journal holds.
    pub(in crate::rollout) fn result_of(&self, task: Task) -> Option<&TargetResult> {
        match self.journal.get(&task) {
            Some(Journal::Finished { result, .. }) => Some(result),
            Some(Journal::Paused { result, .. }) if self.resumed(task).is_none() => Some(result),
            _ => None,
        }
    }

    /// Outcomes before a reboot that has happened: the remaining scripts may start.
    pub(in crate::rollout) fn resumed(&self, task: Task) -> Option<&[ScriptOutcome]> {
        match self.journal.get(&task) {
            Some(Journal::Paused { result, is_acknowledged: true, .. })
                if result.reboots_from != Some(self.boot) =>
            {
                Some(&result.scripts)
            }
            _ => None,
        }
    }
}
