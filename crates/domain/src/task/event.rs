//! What happens to a task, as it is told to whoever watches it.

use crate::string_enum::string_enum;

/// Something that happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was accepted and stored.
    Accepted,
    /// A wave was opened.
    WaveOpened,
    /// A wave is over and the gate lets the rollout go on.
    WaveClosed,
    /// The next wave waits: it soaks, or a person must approve it.
    WaveWaiting,
    /// A person approved a wave.
    WaveApproved,
    /// The gate halted it.
    Halted,
    /// A person stopped it.
    Stopped,
    /// Its time was over.
    Expired,
    /// A person paused it.
    Paused,
    /// A person let it go on.
    Resumed,
    /// The project was frozen.
    Frozen,
    /// The project was unfrozen.
    Unfrozen,
    /// A person changed how many targets may be in flight.
    ConcurrencyChanged,
    /// Another task retries it, or one record of it.
    Retried,
    /// A target is handed out no more: see [`crate::quarantine`].
    Quarantined,
    /// It ended.
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

    /// The word in SQL, proto and JSON.
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
