//! Effects of a committed operation, for metrics, logs and traces.

use domain::{
    ids::{BatchId, DesktopId},
    task::TaskStatus,
    wave_start::WaveStart,
};

/// An effect of an operation. The caller reports it after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Targets of a wave were admitted, starting at ordinal `first`.
    Admitted {
        /// Wave of the targets.
        wave: u16,
        /// Ordinal of the first target.
        first: u32,
        /// Number of targets.
        number: u32,
    },
    /// Deferred targets of a wave were dispatched.
    Dispatched {
        /// Wave of the targets.
        wave: u16,
        /// Ordinals of the targets.
        ordinals: Vec<u32>,
        /// Whether an agent may have started them before.
        maybe_delivered: bool,
    },
    /// A worker reported a result that was already stored.
    KnownResult {
        /// Ordinal of the target.
        ordinal: u32,
    },
    /// The gate returned a verdict.
    Verdict {
        /// Wave that the gate judged.
        wave: u16,
        /// `hold`, `halt` or `proceed`.
        verdict: &'static str,
        /// Rule that caused the halt; empty for any other verdict.
        halts_by: &'static str,
        /// Human-readable reason.
        reason: String,
    },
    /// A wave opened.
    WaveOpened {
        /// Number of the wave.
        wave: u16,
    },
    /// The next wave does not open yet.
    WaveWaiting {
        /// Number of the wave.
        wave: u16,
        /// Condition that it waits for.
        wait: WaveStart,
    },
    /// The gate halted the task.
    Halted {
        /// Wave that caused the halt.
        wave: u16,
        /// Human-readable reason.
        reason: String,
        /// Number of targets that were withdrawn.
        withdrawn: u32,
        /// Whether the wave was already closed when it caused the halt.
        is_late: bool,
    },
    /// A person or the task's expiry stopped the task.
    Stopped {
        /// Human-readable reason.
        reason: String,
    },
    /// The task ended.
    Ended {
        /// Final status of the task.
        status: TaskStatus,
    },
    /// The targets of a batch without a holder were batched again.
    Reclaimed {
        /// Id of the batch.
        batch_id: BatchId,
        /// Number of its targets without a result.
        targets: u32,
        /// Whether agents may have received the targets.
        maybe_delivered: bool,
    },
    /// A target entered quarantine, because several workers died while they held it.
    Quarantined {
        /// Ordinal of the target.
        ordinal: u32,
        /// Desktop of the target.
        desktop_id: DesktopId,
        /// Number of workers that died while they held the target.
        worker_deaths: u16,
    },
    /// A target ended as UNKNOWN: its desktop's agent was replaced while the target may have run.
    Replaced {
        /// Ordinal of the target.
        ordinal: u32,
        /// Desktop of the target.
        desktop_id: DesktopId,
    },
    /// Targets have results and wait for the return of their desktops.
    ReturnsAwaited {
        /// Number of targets.
        targets: u32,
    },
    /// A target ended as NOT_RETURNED.
    NotReturned {
        /// Ordinal of the target.
        ordinal: u32,
        /// Desktop of the target.
        desktop_id: DesktopId,
    },
    /// Targets passed their deadline.
    Overdue {
        /// Number of targets.
        targets: u32,
    },
}
