//! The stored state of a wave.

use domain::{
    Timestamp,
    tally::Tally,
    wave::{WaveState, WaveStatus},
    wave_start::StartConditions,
};

/// A stored wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveRow {
    /// Number of the wave, from 1.
    pub wave: u16,
    /// Ordinal of its first target.
    pub first_ordinal: u32,
    /// Number of targets of the wave that admission has passed.
    pub cursor: u32,
    /// State that the rules read.
    pub state: WaveState,
    /// Whether the wave closed on a quorum while some of its targets are still missing.
    pub is_trailing: bool,
    /// Its records by outcome.
    pub record_tally: Tally,
    /// Last reason of the gate, or of the person who stopped the wave.
    pub verdict_reason: Option<String>,
    /// Conditions for the wave to open.
    pub opening: StartConditions,
    /// Approver and time of the approval; `None` without an approval.
    pub approved: Option<(String, Timestamp)>,
    /// Time at which the wave opened; `None` before.
    pub opened_at: Option<Timestamp>,
    /// Time at which the wave was closed, halted or stopped; `None` before.
    pub closed_at: Option<Timestamp>,
}

impl WaveRow {
    /// Returns whether a target belongs to the wave.
    pub fn has(&self, ordinal: u32) -> bool {
        (self.first_ordinal..self.first_ordinal + self.state.size).contains(&ordinal)
    }

    /// Returns whether the wave has waited without evidence for as long as it may.
    pub fn is_hold_over(&self, now: Timestamp) -> bool {
        self.state.status == WaveStatus::Pending && self.opening.is_hold_over(now)
    }

    /// Returns whether a target of the wave was ever admitted.
    pub fn has_admitted(&self, ordinal: u32) -> bool {
        self.state.status != WaveStatus::Pending
            && (self.first_ordinal..self.first_ordinal + self.cursor).contains(&ordinal)
    }
}
