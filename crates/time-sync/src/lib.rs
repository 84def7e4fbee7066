//! Control plane time on a machine whose own clock may be wrong or may jump.
//!
//! The database's clock is the only authority. Schedulers and APIs ask the database, workers ask
//! schedulers, and agents ask their worker. Between two answers the machine's uptime is added,
//! which no clock adjustment changes. So deadlines and leases mean the same everywhere, and times
//! of records are comparable.

mod backoff;
mod offset;
mod platform;
mod uptime;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use backoff::Backoff;
use chrono::{DateTime, Utc};
use offset::Anchor;
use uptime::Uptime;

/// Control plane time. Clones share the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    anchor: Arc<Mutex<Option<Anchor>>>,
}

/// Time from an upstream source, with its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSample {
    /// Time at the moment of the answer.
    pub now: DateTime<Utc>,
    /// Maximum error in either direction.
    pub error: Duration,
}

impl TimeSample {
    /// Whether the error is large, because an answer was slow: the caller should ask again soon.
    pub fn is_rough(&self) -> bool {
        self.error > ROUGH
    }
}

/// Error above which a sample is rough. Deadlines have a resolution of seconds.
const ROUGH: Duration = Duration::from_millis(500);

/// Moment at which the time was requested.
#[derive(Debug, Clone, Copy)]
pub struct SampleStart(Uptime);

impl Clock {
    /// Creates a clock that returns the machine's own time until the first answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Current time.
    pub fn now(&self) -> DateTime<Utc> {
        self.anchor().map_or_else(Utc::now, |anchor| anchor.at(Uptime::now()))
    }

    /// Current time with its error; `None` until the first answer.
    pub fn sample(&self) -> Option<TimeSample> {
        self.anchor().map(|anchor| anchor.sample(Uptime::now()))
    }

    /// Starts a time request; pass the result and the answer to [`Clock::answered`].
    pub fn asks(&self) -> SampleStart {
        SampleStart(Uptime::now())
    }

    /// Records an answer. It is used if it is more exact than the known time, or shows that the
    /// authoritative clock was adjusted.
    pub fn answered(&self, start: SampleStart, sample: TimeSample) {
        let new = Anchor::new(start.0, Uptime::now(), sample);
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if anchor.is_none_or(|known| new.replaces(known)) {
            *anchor = Some(new);
        }
    }

    fn anchor(&self) -> Option<Anchor> {
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn sampled_time_overrides_the_machines_clock() {
        let clock = Clock::new();
        let twin = clock.clone();
        assert!(clock.sample().is_none());
        assert!((clock.now() - Utc::now()).abs() < TimeDelta::seconds(5));
        let an_hour_ahead = Utc::now() + TimeDelta::hours(1);
        let asked = clock.asks();
        clock.answered(asked, TimeSample { now: an_hour_ahead, error: Duration::from_secs(1) });
        assert!((twin.now() - an_hour_ahead).abs() < TimeDelta::seconds(5));
        assert!(clock.sample().unwrap().is_rough());
        clock.answered(clock.asks(), TimeSample { now: an_hour_ahead, error: Duration::ZERO });
        assert!(!clock.sample().unwrap().is_rough());
    }
}
