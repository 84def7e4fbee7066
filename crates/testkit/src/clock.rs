//! A clock that stands still.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use control::Environment;
use domain::Timestamp;
use uuid::Uuid;

/// Seconds since 1970 at which every test begins.
const START_UNIX: i64 = 1_800_000_000;
const FIRST_ID: u128 = 0x019a_0000_0000_7000_8000_0000_0000_0000;

/// A clock that stands still, with ids that count up and one seed.
#[derive(Debug, Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// The time that it shows.
    pub fn start() -> Timestamp {
        DateTime::<Utc>::from_timestamp(START_UNIX, 0).unwrap_or_default()
    }
}

impl Environment for TestClock {
    fn now(&self) -> Timestamp {
        Self::start()
    }

    fn id(&self) -> Uuid {
        Uuid::from_u128(FIRST_ID + u128::from(self.0.fetch_add(1, Ordering::SeqCst)))
    }

    fn seed(&self) -> u64 {
        7
    }
}
