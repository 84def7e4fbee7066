//! A wave's row.

use domain::{
    Timestamp,
    tally::Tally,
    wave::{WaveState, WaveStatus},
    wave_start::StartConditions,
};

/// A wave's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveRow {
    /// Number of the wave, from 1.
    pub wave: u16,
    /// Ordinal of its first target.
    pub first_ordinal: u32,
    /// Targets of the wave that the cut has passed.
    pub cursor: u32,
    /// State that the rules read.
    pub state: WaveState,
    /// Whether it was closed on a quorum while some of its targets are still missing.
    pub is_trailing: bool,
    /// Its records by outcome.
    pub record_tally: Tally,
    /// Last reason of the gate, or of the person who stopped the wave.
    pub verdict_reason: Option<String>,
    /// What it needs before it opens.
    pub opening: StartConditions,
    /// Approver and time of the approval.
    pub approved: Option<(String, Timestamp)>,
    /// Time at which it opened.
    pub opened_at: Option<Timestamp>,
    /// Time at which it was closed, halted or stopped.
    pub closed_at: Option<Timestamp>,
}

impl WaveRow {
    /// Whether a target belongs to the wave.
    pub fn has(&self, ordinal: u32) -> bool {
        (self.first_ordinal..self.first_ordinal + self.state.size).contains(&ordinal)
    }

    /// Whether a target of the wave was ever admitted.
    pub fn has_admitted(&self, ordinal: u32) -> bool {
        self.state.status != WaveStatus::Pending
            && (self.first_ordinal..self.first_ordinal + self.cursor).contains(&ordinal)
    }
}
