//! Effects of transactions, as the invariants read them.

use domain::{Timestamp, task::TaskStatus};

use super::event::{ScriptOutcome, Worker};

/// An effect of a committed transaction on one task. All variants but [`Effect::Engine`] are read
/// from rows.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Targets of a wave were admitted. They may be handed out, or wait for their desktops.
    Admitted { wave: u16, first: u32, number: u32 },
    /// Deferred targets are in flight from now on, because their desktops are online.
    LocatedTarget { ordinals: Vec<u32> },
    /// A batch went to a worker that held `suspects` other suspected batches, leased within the
    /// time of one lease.
    Leased { worker: Worker, ordinals: Vec<u32>, query_only: bool, suspects: usize },
    /// A target ended.
    Recorded { ordinal: u32, scripts: Vec<ScriptOutcome> },
    /// The return of the desktop of a target is awaited until a moment. These outcomes of its
    /// scripts are stored.
    Awaited { ordinal: u32, until: Timestamp, scripts: Vec<ScriptOutcome> },
    /// A target that waited for its desktop continues.
    Resumed { ordinal: u32 },
    /// A wave opened.
    Opened { wave: u16, now: Timestamp },
    /// A wave closed.
    Closed { wave: u16 },
    /// An operator stopped a target that had not ended.
    TargetStopped { ordinal: u32 },
    /// The task admits no more targets.
    CutShort { status: TaskStatus },
    /// Admitted targets without a result are in no batch any more, and not deferred.
    Withdrawn { ordinals: Vec<u32> },
    /// The task ended.
    TaskEnded { status: TaskStatus },
    /// The engine's own effect. It counts as coverage, and proves nothing.
    Engine(engine::Effect),
}
