//! The control plane's time on a machine whose own clock may be wrong, or may jump.
//!
//! One clock counts: the database's. Schedulers and APIs ask the database, workers ask the schedulers, agents ask their
//! worker; between two answers the time since the machine started is added, which no setting of a clock changes. So
//! deadlines and leases mean the same everywhere, and the time of a record can be compared with that of another.

mod backoff;
mod offset;
mod uptime;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use backoff::Backoff;
use chrono::{DateTime, Utc};
use offset::Anchor;
use uptime::Uptime;

/// The control plane's time. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    anchor: Arc<Mutex<Option<Anchor>>>,
}

/// What somebody who knows the time says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSample {
    /// The time.
    pub now: DateTime<Utc>,
    /// It is right to so much, either way.
    pub error: Duration,
}

impl TimeSample {
    /// What only a slow answer has told, by who had it from a slow answer: it is worth asking again soon.
    pub fn is_rough(&self) -> bool {
        self.error > ROUGH
    }
}

/// Deadlines are of seconds, and of more where links are slow.
const ROUGH: Duration = Duration::from_millis(500);

/// The moment at which the time was asked for.
#[derive(Debug, Clone, Copy)]
pub struct SampleStart(Uptime);

impl Clock {
    /// The machine's own time until the first answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        self.anchor().map_or_else(Utc::now, |anchor| anchor.at(Uptime::now()))
    }

    /// The time now, once anybody has told it.
    pub fn told(&self) -> Option<TimeSample> {
        self.anchor().map(|anchor| anchor.told(Uptime::now()))
    }

    /// Call this, ask for the time, and give the answer to [`Clock::answered`].
    pub fn asks(&self) -> SampleStart {
        SampleStart(Uptime::now())
    }

    /// Takes an answer in. It is used when it is more exact than what is known, or when it shows that the clock that
    /// counts was set.
    pub fn answered(&self, asked: SampleStart, told: TimeSample) {
        let new = Anchor::new(asked.0, Uptime::now(), told);
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
    fn what_was_told_counts_whatever_the_machine_says() {
        let clock = Clock::new();
        let twin = clock.clone();
        assert!(clock.told().is_none());
        assert!((clock.now() - Utc::now()).abs() < TimeDelta::seconds(5));
        let an_hour_ahead = Utc::now() + TimeDelta::hours(1);
        let asked = clock.asks();
        clock.answered(asked, TimeSample { now: an_hour_ahead, error: Duration::from_secs(1) });
        assert!((twin.now() - an_hour_ahead).abs() < TimeDelta::seconds(5));
        assert!(clock.told().unwrap().is_rough());
        clock.answered(clock.asks(), TimeSample { now: an_hour_ahead, error: Duration::ZERO });
        assert!(!clock.told().unwrap().is_rough());
    }
}
