//! The rows of the simulated database.

use domain::{
    Timestamp,
    deadline::{Deadlines, Timeouts},
    ids::DesktopId,
    opening::Opening,
    policy::RolloutPolicy,
    tally::Tally,
    task::TaskStatus,
    wave::{WaveState, WaveStatus},
};

use crate::rollout::event::Worker;

/// The task's row.
#[derive(Debug)]
pub(in crate::rollout) struct Task {
    pub(in crate::rollout) status: TaskStatus,
    pub(in crate::rollout) killing: bool,
    pub(in crate::rollout) is_paused: bool,
    pub(in crate::rollout) is_frozen: bool,
    pub(in crate::rollout) expires_at: Option<Timestamp>,
    pub(in crate::rollout) timeouts: Timeouts,
    pub(in crate::rollout) policy: RolloutPolicy,
    pub(in crate::rollout) max_concurrency: Option<u32>,
    /// Targets of its whole project in flight at most; it is the only task of its project.
    pub(in crate::rollout) project_limit: Option<u32>,
    pub(in crate::rollout) scripts: u16,
}

/// A wave's row.
#[derive(Debug)]
pub(in crate::rollout) struct WaveRow {
    pub(in crate::rollout) wave: u16,
    pub(in crate::rollout) first: u32,
    /// Targets that the cut has passed.
    pub(in crate::rollout) cursor: u32,
    pub(in crate::rollout) state: WaveState,
    pub(in crate::rollout) records: Tally,
    pub(in crate::rollout) opening: Opening,
    pub(in crate::rollout) closed_at: Option<Timestamp>,
}

impl WaveRow {
    pub(in crate::rollout) fn has(&self, ordinal: u32) -> bool {
        (self.first..self.first + self.state.size).contains(&ordinal)
    }

    pub(in crate::rollout) fn has_admitted(&self, ordinal: u32) -> bool {
        self.state.status != WaveStatus::Pending && (self.first..self.first + self.cursor).contains(&ordinal)
    }

    /// Closed, and all its targets are in.
    pub(super) fn is_over(&self) -> bool {
        self.state.status == WaveStatus::Closed && self.state.missing() == 0
    }
}

/// What the targets of a batch, or a straggler, share with their cut.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct Terms {
    pub(in crate::rollout) wave: u16,
    pub(in crate::rollout) deadlines: Deadlines,
    pub(in crate::rollout) maybe_handed: bool,
}

/// A batch's row.
#[derive(Debug)]
pub(in crate::rollout) struct Batch {
    pub(in crate::rollout) terms: Terms,
    pub(in crate::rollout) worker: Worker,
    pub(in crate::rollout) ordinals: Vec<u32>,
    /// Until when it is leased; ready when it is not.
    pub(in crate::rollout) leased_until: Option<Timestamp>,
    pub(in crate::rollout) epoch: u32,
    pub(in crate::rollout) reported: u32,
    pub(in crate::rollout) answer_only: bool,
    pub(in crate::rollout) held: bool,
    pub(in crate::rollout) stop: bool,
}

/// A straggler's row.
#[derive(Debug)]
pub(in crate::rollout) struct Straggler {
    pub(in crate::rollout) terms: Terms,
    pub(in crate::rollout) held: bool,
    pub(in crate::rollout) not_before: Option<Timestamp>,
}

/// A worker's row.
#[derive(Debug)]
pub(in crate::rollout) struct WorkerRow {
    pub(in crate::rollout) heard_at: Timestamp,
    pub(in crate::rollout) draining: bool,
}

/// A desktop's row, by the ordinal of its target.
#[derive(Debug)]
pub(in crate::rollout) struct Desktop {
    pub(in crate::rollout) id: DesktopId,
    pub(in crate::rollout) time_zone: String,
    pub(in crate::rollout) worker: Option<Worker>,
    /// The agent that connected last.
    pub(in crate::rollout) agent: u32,
    /// The agent that its target is for, once that is in a batch: as `batch.agent_ids` and `straggler.agent_id`.
    pub(in crate::rollout) meant_for: u32,
    pub(in crate::rollout) presence_at: Timestamp,
}

/// Who is to be woken when the transaction commits.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::rollout) struct Wakes {
    pub(in crate::rollout) cut: bool,
    pub(in crate::rollout) ready: bool,
    pub(in crate::rollout) presence: bool,
    pub(in crate::rollout) stop: bool,
}
