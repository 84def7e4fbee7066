//! The interface of a progress display.

use std::time::Instant;

use super::{Rollout, Update};

/// Display of a rollout's progress.
pub(super) trait View {
    /// Shows an update, which `rollout` already contains.
    fn apply(&mut self, rollout: &Rollout, update: &Update, now: Instant);
    /// Prints a permanent line.
    fn say(&mut self, line: &str);
    /// Redraws rates and times without an update.
    fn tick(&mut self, rollout: &Rollout, now: Instant);
    /// Ends the display, at the end of the task or after a detach.
    fn end(&mut self);
}
