//! The interface of a progress display.

use std::time::Instant;

use super::{Rollout, Update};

/// How somebody sees a rollout go on.
pub(super) trait View {
    /// Something was told.
    fn apply(&mut self, rollout: &Rollout, update: &Update, now: Instant);
    /// A line that stays.
    fn say(&mut self, line: &str);
    /// Time went by.
    fn tick(&mut self, rollout: &Rollout, now: Instant);
    /// It is over, or nobody looks any more.
    fn end(&mut self);
}
