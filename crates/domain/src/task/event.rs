//! Events of a task, as clients that watch it receive them.

use crate::string_enum::string_enum;

/// The kind of an event of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The task was accepted and stored.
    Accepted,
    /// A wave opened.
    WaveOpened,
    /// A wave closed, and the gate let the rollout proceed.
    WaveClosed,
    /// The next wave waits for the end of its soak or for its approval.
    WaveWaiting,
    /// A person approved a wave.
    WaveApproved,
    /// The gate halted the task.
    Halted,
    /// A person stopped the task.
    Stopped,
    /// The task passed its `expires_at`.
    Expired,
    /// A person paused the task.
    Paused,
    /// A person resumed the task.
    Resumed,
    /// The project was frozen.
    Frozen,
    /// The project was unfrozen.
    Unfrozen,
    /// A person changed the maximum number of targets in flight.
    ConcurrencyChanged,
    /// Another task retries this task, or one of its records.
    Retried,
    /// A target was quarantined: see [`crate::quarantine`].
    Quarantined,
    /// The task ended.
    Ended,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Accepted,
        Self::WaveOpened,
        Self::WaveClosed,
        Self::WaveWaiting,
        Self::WaveApproved,
        Self::Halted,
        Self::Stopped,
        Self::Expired,
        Self::Paused,
        Self::Resumed,
        Self::Frozen,
        Self::Unfrozen,
        Self::ConcurrencyChanged,
        Self::Retried,
        Self::Quarantined,
        Self::Ended,
    ];

    /// Returns the word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::WaveOpened => "WAVE_OPENED",
            Self::WaveClosed => "WAVE_CLOSED",
            Self::WaveWaiting => "WAVE_WAITING",
            Self::WaveApproved => "WAVE_APPROVED",
            Self::Halted => "HALTED",
            Self::Stopped => "STOPPED",
            Self::Expired => "EXPIRED",
            Self::Paused => "PAUSED",
            Self::Resumed => "RESUMED",
            Self::Frozen => "FROZEN",
            Self::Unfrozen => "UNFROZEN",
            Self::ConcurrencyChanged => "CONCURRENCY_CHANGED",
            Self::Retried => "RETRIED",
            Self::Quarantined => "QUARANTINED",
            Self::Ended => "ENDED",
        }
    }
}

string_enum!(EventKind, "event");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse::<EventKind>().unwrap(), kind);
        }
        assert_eq!(EventKind::WaveApproved.as_str(), "WAVE_APPROVED");
    }
}
