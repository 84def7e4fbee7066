//! The simulated database: rows, and transactions that are atomic because nothing happens beside them.
//!
//! The rules are those of `domain`. What crates `store` and `scheduler` do with them is done here in the same order, on
//! rows in memory instead of SQL.

mod batches;
mod holds;
mod lost;
mod rows;
mod rules;
mod settle;
mod stops;
mod stragglers;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Timestamp,
    cut::{Member, Placed},
    gate::Results,
    ids::WorkerId,
    outcome::Outcome,
    plan::Plan,
    tally::Tally,
    task::TaskStatus,
    wave::{Others, WaveState, WaveStatus, WaveTerms, relate},
};

pub(super) use rows::{Batch, Desktop, Straggler, Task, Terms, Wakes, WaveRow, WorkerRow};

use super::{
    effect::Effect,
    event::{BatchId, Ended, Worker},
    sabotage::Sabotage,
    scenario::Scenario,
};

/// Everything that survives every process.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) task: Task,
    pub(super) waves: Vec<WaveRow>,
    pub(super) desktops: Vec<Desktop>,
    pub(super) batches: BTreeMap<BatchId, Batch>,
    pub(super) stragglers: BTreeMap<u32, Straggler>,
    /// By ordinal; one for each script.
    pub(super) records: Vec<Option<Vec<Ended>>>,
    pub(super) workers: BTreeMap<Worker, WorkerRow>,
    /// Targets that a person stopped and that had not ended then.
    pub(super) stops: BTreeSet<u32>,
    pub(super) wakes: Wakes,
    /// What the transactions since the last look have done.
    pub(super) effects: Vec<Effect>,
    pub(super) sabotage: Option<Sabotage>,
    last_batch: BatchId,
}

impl Database {
    pub(super) fn new(scenario: &Scenario, plan: Plan, now: Timestamp, sabotage: Option<Sabotage>) -> Self {
        let terms = WaveTerms::new(&scenario.policy, scenario.max_concurrency);
        let total = plan.order.len();
        let waves = plan.waves.iter().map(|wave| WaveRow {
            wave: wave.wave,
            first: wave.first_ordinal,
            cursor: 0,
            state: WaveState {
                status: WaveStatus::Pending,
                size: wave.size,
                admitted: 0,
                waiting: 0,
                tally: Tally::default(),
                failed: 0,
                halting: 0,
                fail_threshold: wave.fail_threshold,
                is_last: wave.first_ordinal as usize + wave.size as usize == total,
                others: Others::default(),
                terms,
            },
            records: Tally::default(),
            opening: scenario.policy.opening_of(wave.wave),
            closed_at: None,
        });
        let waves = waves.collect();
        let zones = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", ""];
        let desktops = plan.order.into_iter().enumerate().map(|(place, id)| Desktop {
            id,
            time_zone: zones[place % zones.len()].to_owned(),
            worker: None,
            agent: 0,
            meant_for: 0,
            presence_at: now,
        });
        Self {
            task: Task {
                status: TaskStatus::Waiting,
                killing: false,
                is_paused: false,
                is_frozen: false,
                expires_at: scenario.expires_after.map(|after| now + after),
                timeouts: scenario.timeouts,
                policy: scenario.policy.clone(),
                max_concurrency: scenario.max_concurrency,
                project_limit: scenario.project_limit,
                scripts: scenario.scripts,
            },
            waves,
            desktops: desktops.collect(),
            batches: BTreeMap::new(),
            stragglers: BTreeMap::new(),
            records: vec![None; total],
            workers: BTreeMap::new(),
            stops: BTreeSet::new(),
            wakes: Wakes::default(),
            effects: Vec::new(),
            sabotage,
            last_batch: 0,
        }
    }

    pub(super) fn sabotaged(&self, by: Sabotage) -> bool {
        self.sabotage == Some(by)
    }

    pub(super) fn fresh_batch(&mut self) -> BatchId {
        self.last_batch += 1;
        self.last_batch
    }

    /// The place of the current wave: the first that is not closed.
    pub(super) fn current(&self) -> Option<usize> {
        self.waves.iter().position(|row| row.state.status != WaveStatus::Closed)
    }

    /// The places of the waves that can still change: those that were closed on a quorum and are not over, and the
    /// current one.
    pub(super) fn live(&self) -> Vec<usize> {
        let last = self.current().unwrap_or_else(|| self.waves.len().saturating_sub(1));
        (0..=last).filter(|&place| !self.waves[place].is_over()).collect()
    }

    /// Tells each live wave what the others have come to.
    pub(super) fn relate(&mut self) {
        let live = self.live();
        let before = live.last().copied().unwrap_or_default();
        let mut settled = Results::default();
        for row in self.waves[..before].iter().filter(|row| row.is_over()) {
            settled.finished += row.state.size;
            settled.failed += row.state.failed;
        }
        let rows = self.waves.iter_mut().enumerate().filter(|(place, _)| live.contains(place));
        relate(settled, rows.map(|(_, row)| &mut row.state));
    }

    /// The place of the wave with this number.
    pub(super) const fn place_of(wave: u16) -> usize {
        wave as usize - 1
    }

    pub(super) fn row_of(&mut self, wave: u16) -> &mut WaveRow {
        &mut self.waves[Self::place_of(wave)]
    }

    /// Whether a worker holds the desktop and takes work for it.
    pub(super) fn holder(&self, ordinal: u32) -> Option<Worker> {
        let worker = self.desktops[ordinal as usize].worker?;
        self.workers.get(&worker).is_some_and(|row| !row.draining).then_some(worker)
    }

    /// A target with the presence of its desktop. `maybe_handed` says that the agent it was for may have started it.
    pub(super) fn placed(&self, ordinal: u32, maybe_handed: bool) -> Placed {
        let desktop = &self.desktops[ordinal as usize];
        let is_known = maybe_handed && !self.sabotaged(Sabotage::ForgetAgents);
        Placed {
            ordinal,
            desktop_id: desktop.id.clone(),
            worker_id: self.holder(ordinal).and_then(worker_id),
            time_zone: desktop.time_zone.clone(),
            agent_id: desktop.agent.to_string(),
            handed_to: is_known.then(|| desktop.meant_for.to_string()),
        }
    }

    pub(super) fn has_ended(&self, ordinal: u32) -> bool {
        self.records[ordinal as usize].is_some()
    }

    /// Whether the task is held until a person lets it go on.
    pub(super) const fn is_held(&self) -> bool {
        (self.task.is_paused || self.task.is_frozen) && !self.task.status.admits_no_more()
    }
}

/// The outcome of a target from those of its scripts, and the exit code of the script that decided.
pub(super) fn of_target(scripts: &[Ended]) -> Ended {
    let decider = scripts.iter().find(|(outcome, _)| *outcome != Outcome::Success);
    let outcome = Outcome::of_target(scripts.iter().map(|(outcome, _)| *outcome));
    (outcome, decider.and_then(|(_, code)| *code))
}

/// A worker's id.
pub(super) fn worker_id(worker: Worker) -> Option<WorkerId> {
    format!("{worker:05}").parse().ok()
}

/// The worker of an id.
pub(super) fn worker_of(id: &WorkerId) -> Option<Worker> {
    id.as_str().parse().ok()
}

/// The agent of an id.
pub(super) fn agent_of(id: &str) -> u32 {
    id.parse().unwrap_or_default()
}

/// The ordinals of members.
pub(super) fn ordinals_of(members: &[Member]) -> Vec<u32> {
    members.iter().map(|member| member.ordinal).collect()
}
