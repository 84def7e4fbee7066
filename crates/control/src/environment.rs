//! Where time, ids and randomness come from: the only impure source of the use cases, so that a test can fix it.

use std::{fmt::Debug, sync::Mutex};

use chrono::SubsecRound as _;
use domain::Timestamp;
use store::Store;
use uuid::{ContextV7, Uuid};

/// Of a second: microseconds.
const STORED_DIGITS: u16 = 6;

/// Time, ids and seeds.
pub trait Environment: Debug + Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
    /// A fresh UUIDv7.
    fn id(&self) -> Uuid;
    /// A fresh seed.
    fn seed(&self) -> u64;
}

/// The database's time, and ids of it: a task's id says when it was made.
#[derive(Debug)]
pub struct DatabaseClock {
    time: store::Clock,
    /// Keeps the ids of one millisecond in order.
    sequence: Mutex<ContextV7>,
}

impl DatabaseClock {
    /// The time as a store knows it.
    pub fn new(store: &Store) -> Self {
        Self { time: store.clock().clone(), sequence: Mutex::new(ContextV7::new()) }
    }
}

impl Environment for DatabaseClock {
    /// As exact as the database keeps it, so that what is answered at once is what is read later.
    fn now(&self) -> Timestamp {
        self.time.now().trunc_subsecs(STORED_DIGITS)
    }

    fn id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(&self.sequence, seconds, now.timestamp_subsec_nanos()))
    }

    fn seed(&self) -> u64 {
        // Clients read numbers in JSON as floating point, which is exact up to 53 bits.
        rand::random::<u64>() >> 11
    }
}
