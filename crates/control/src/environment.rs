//! Source of time, ids and randomness: the only impure input of the use cases, so that tests can
//! replace it.

use std::{fmt::Debug, sync::Mutex};

use chrono::SubsecRound as _;
use domain::Timestamp;
use store::Store;
use uuid::{ContextV7, Uuid};

/// Number of decimal digits of a second that the database stores: microseconds.
const STORED_DIGITS: u16 = 6;

/// Source of time, ids and seeds.
pub trait Environment: Debug + Send + Sync {
    /// Returns the current time in UTC.
    fn now(&self) -> Timestamp;
    /// Returns a new UUIDv7.
    fn id(&self) -> Uuid;
    /// Returns a new random seed.
    fn seed(&self) -> u64;
}

/// The database's clock. Ids derive from it, so a task's id contains its creation time.
#[derive(Debug)]
pub struct DatabaseClock {
    time: store::Clock,
    /// Keeps ids of the same millisecond in order.
    sequence: Mutex<ContextV7>,
}

impl DatabaseClock {
    /// Creates a clock from a store's estimate of the database time.
    pub fn new(store: &Store) -> Self {
        Self { time: store.clock().clone(), sequence: Mutex::new(ContextV7::new()) }
    }
}

impl Environment for DatabaseClock {
    /// Truncates to the database's precision, so that the response equals a later read.
    fn now(&self) -> Timestamp {
        self.time.now().trunc_subsecs(STORED_DIGITS)
    }

    fn id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(&self.sequence, seconds, now.timestamp_subsec_nanos()))
    }

    fn seed(&self) -> u64 {
        // Many JSON clients read numbers as floating point, which is exact up to 53 bits.
        rand::random::<u64>() >> 11
    }
}
