//! What transactions have done, as it is told to who looks after the promises.

use domain::{Timestamp, task::TaskStatus};

use super::event::{Ended, Worker};

/// Something that a committed transaction has done.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Targets of a wave, admitted at the transaction's time. They may be handed out, or wait for their desktops.
    Admitted { wave: u16, first: u32, number: u32 },
    /// Targets that were admitted hold a place now, because their desktop is back.
    Placed { ordinals: Vec<u32> },
    /// A batch went to a worker.
    Leased { worker: Worker, ordinals: Vec<u32>, answer_only: bool },
    /// A target ended.
    Recorded { ordinal: u32, scripts: Vec<Ended> },
    /// A wave was opened.
    Opened { wave: u16, now: Timestamp },
    /// A wave was closed.
    Closed { wave: u16 },
    /// A person stopped a target that had not ended.
    TargetStopped { ordinal: u32 },
    /// Nothing is admitted any more.
    CutShort { status: TaskStatus },
    /// Targets were taken back that nobody was told of.
    Withdrawn { ordinals: Vec<u32> },
    /// A wave was halted after it was closed.
    LateHalt,
    /// A lost batch was cut again.
    CutAgain { maybe_handed: bool },
    /// Targets ended because another agent came back as their desktop.
    Replaced { ordinals: Vec<u32> },
    /// A result came that was known.
    KnownResult,
    /// The next wave soaks, or waits for a person.
    Waits { soaks: bool },
    /// The task ended.
    TaskEnded { status: TaskStatus },
}
