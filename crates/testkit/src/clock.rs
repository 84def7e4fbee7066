//! A fixed clock for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use control::Environment;
use domain::Timestamp;
use uuid::Uuid;

/// Time at which every test begins, in seconds since 1970.
const START_UNIX: i64 = 1_800_000_000;
const FIRST_ID: u128 = 0x019a_0000_0000_7000_8000_0000_0000_0000;

/// A fixed clock with sequential ids and a constant seed.
#[derive(Debug, Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// Current time of the clock.
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
