//! What a committed operation did, for metrics, logs and traces.

use domain::{
    ids::{BatchId, DesktopId},
    task::TaskStatus,
};

/// Something that an operation did. The caller reports it after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Targets of a wave were admitted, from ordinal `first` on.
    Admitted {
        /// Wave of the targets.
        wave: u16,
        /// First ordinal.
        first: u32,
        /// Number of targets.
        number: u32,
    },
    /// Deferred targets of a wave were handed out.
    Dispatched {
        /// Wave of the targets.
        wave: u16,
        /// Ordinals.
        ordinals: Vec<u32>,
        /// Whether an agent may have started them before.
        maybe_delivered: bool,
    },
    /// A result came again.
    KnownResult {
        /// Its target.
        ordinal: u32,
    },
    /// The gate decided.
    Verdict {
        /// Wave that it judged.
        wave: u16,
        /// `hold`, `halt` or `proceed`.
        verdict: &'static str,
        /// Rule that halts; empty unless it halts.
        halts_by: &'static str,
        /// Reason for people.
        reason: String,
    },
    /// A wave opened.
    WaveOpened {
        /// The wave.
        wave: u16,
    },
    /// The next wave waits for its soak or its approval.
    WaveWaiting {
        /// The wave.
        wave: u16,
        /// Whether it soaks.
        soaks: bool,
    },
    /// The gate halted the task.
    Halted {
        /// Wave at which it halted.
        wave: u16,
        /// Reason for people.
        reason: String,
        /// Targets that were withdrawn.
        withdrawn: u32,
        /// Whether a wave that was closed before has halted it.
        is_late: bool,
    },
    /// A person, or its time, stopped the task.
    Stopped {
        /// Reason for people.
        reason: String,
    },
    /// The task ended.
    Ended {
        /// Its status.
        status: TaskStatus,
    },
    /// A batch without a holder was cut again.
    Reclaimed {
        /// The batch.
        batch_id: BatchId,
        /// Targets without a result.
        targets: u32,
        /// Whether they may have been handed out.
        maybe_delivered: bool,
    },
    /// A target is handed out no more, because worker after worker died that held it.
    Quarantined {
        /// The target.
        ordinal: u32,
        /// Its desktop.
        desktop_id: DesktopId,
        /// Number of workers that died.
        worker_deaths: u16,
    },
    /// A target ended as UNKNOWN, because its desktop's agent was replaced while it may have run.
    Replaced {
        /// The target.
        ordinal: u32,
        /// Its desktop.
        desktop_id: DesktopId,
    },
    /// Targets passed their deadline.
    Overdue {
        /// Number of targets.
        targets: u32,
    },
}
