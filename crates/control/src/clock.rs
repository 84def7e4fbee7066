//! Where time, ids and randomness come from: the only impure source of the use cases, so that a test can fix it.

use std::fmt::Debug;

use chrono::Utc;
use domain::Timestamp;
use uuid::Uuid;

/// Time, ids and seeds.
pub trait Clock: Debug + Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
    /// A fresh UUIDv7.
    fn id(&self) -> Uuid;
    /// A fresh seed.
    fn seed(&self) -> u64;
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Utc::now()
    }

    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn seed(&self) -> u64 {
        // Clients read numbers in JSON as floating point, which is exact up to 53 bits.
        rand::random::<u64>() >> 11
    }
}
