//! The project limit on targets in flight.

use crate::{Faults, Rows, Rule, row::TaskFacts};

/// Number of targets that the project still allows in flight, while its limit is locked. `None`
/// without a limit.
#[derive(Debug)]
pub(super) struct Room(Option<u32>);

impl Room {
    /// Locks the project's limit, if there is one.
    pub(super) async fn lock<R: Rows, F: Faults>(
        rows: &mut R,
        facts: &TaskFacts,
        faults: F,
    ) -> Result<Self, R::Error> {
        if !facts.has_project_limit || faults.breaks(Rule::IgnoreProjectLimit) {
            return Ok(Self(None));
        }
        Ok(Self(rows.lock_room(&facts.project_id).await?))
    }

    pub(super) const fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the number of targets out of `wanted` that fit.
    pub(super) fn of(&self, wanted: u32) -> u32 {
        self.0.map_or(wanted, |room| room.min(wanted))
    }

    pub(super) fn take(&mut self, taken: u32) {
        self.0 = self.0.map(|room| room.saturating_sub(taken));
    }
}
