//! Awaited returns: targets with stored results whose desktop still has to come back.

use domain::{
    Timestamp,
    ids::DesktopId,
    return_condition::{self, AttachedAgent, Return, ReturnCondition},
};

use super::{NewRecord, Presence};
use crate::DueTimes;

/// An awaited return to insert. The target has no record yet; it takes a slot and is at risk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedReturn {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Desktop of the target.
    pub desktop_id: DesktopId,
    /// Agent that reported the results; the remaining scripts may start on this agent alone.
    pub agent_id: String,
    /// Wave of the target, from 1.
    pub wave: u16,
    /// Condition that the desktop has to meet.
    pub condition: ReturnCondition,
    /// Time until which the desktop has to meet the condition.
    pub return_by: Timestamp,
    /// Results in the order of the scripts: of all of them, or of those before the reboot.
    pub records: Vec<NewRecord>,
}

impl AwaitedReturn {
    /// Number of stored results.
    pub fn results(&self) -> u16 {
        u16::try_from(self.records.len()).unwrap_or(u16::MAX)
    }

    /// Returns whether scripts remain, which run after the return.
    pub fn is_paused(&self, script_count: u16) -> bool {
        self.results() < script_count
    }
}

/// A stored awaited return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedRow {
    /// The awaited return.
    pub awaited: AwaitedReturn,
    /// Whether the desktop is back and the remaining scripts were dispatched. The results are kept
    /// until the target ends.
    pub is_resumed: bool,
    /// Connection of its desktop; `None` when the desktop is unknown.
    pub presence: Option<Presence>,
}

impl AwaitedRow {
    /// Decides whether the desktop is back.
    pub fn state(&self, times: DueTimes) -> Return {
        let attached = self.presence.as_ref().filter(|presence| presence.worker_id.is_some());
        let attached = attached
            .map(|presence| AttachedAgent { boot_id: &presence.boot_id, version: &presence.agent_version });
        let AwaitedReturn { condition, return_by, .. } = &self.awaited;
        return_condition::decide(condition, attached, *return_by, times.observed_until)
    }
}
