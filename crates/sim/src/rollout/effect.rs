//! What transactions did, as the promises see it.

use domain::{Timestamp, task::TaskStatus};

use super::event::{Ended, Worker};

/// Something that a committed transaction did. All variants but [`Effect::Engine`] are read from rows.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Targets of a wave were admitted. They may be handed out, or wait for their desktops.
    Admitted { wave: u16, first: u32, number: u32 },
    /// Deferred targets hold a place from now on, because their desktops are online.
    LocatedTarget { ordinals: Vec<u32> },
    /// A batch went to a worker, which held `suspects` other suspected batches that it had leased within one lease.
    Leased { worker: Worker, ordinals: Vec<u32>, query_only: bool, suspects: usize },
    /// A target ended.
    Recorded { ordinal: u32, scripts: Vec<Ended> },
    /// A wave opened.
    Opened { wave: u16, now: Timestamp },
    /// A wave closed.
    Closed { wave: u16 },
    /// A person stopped a target that had not ended.
    TargetStopped { ordinal: u32 },
    /// Nothing is admitted any more.
    CutShort { status: TaskStatus },
    /// Admitted targets without a result are nowhere any more.
    Withdrawn { ordinals: Vec<u32> },
    /// The task ended.
    TaskEnded { status: TaskStatus },
    /// What the engine says of its transaction. It counts as coverage, and proves nothing.
    Engine(engine::Effect),
}
