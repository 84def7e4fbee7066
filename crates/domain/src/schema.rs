//! Versions of the database schema, and which roles wait for them.
//!
//! An upgrade has one order: migration, schedulers, then workers and APIs. A migration keeps what
//! the previous version of the program needs, so a newer schema always fits.

use std::fmt;

/// Version of the schema that this program is built for: the number of its newest migration.
pub const SCHEMA_VERSION: u32 = 1;

/// Version that a scheduler reports: what it works with.
///
/// This is the older one of the schema in the database and the schema that the scheduler is built
/// for. So a scheduler of the previous version does not admit workers of the next one, although the
/// database is migrated.
#[must_use]
pub fn reported(in_database: u32, built_for: u32) -> u32 {
    in_database.min(built_for)
}

/// Whether a program works on a schema of the version in the database.
#[must_use]
pub const fn fits(in_database: u32, built_for: u32) -> bool {
    in_database >= built_for
}

/// Reason why a worker takes no agents yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// No scheduler has answered since the start.
    Scheduler,
    /// The schedulers that answered are of a version before this check and report no schema.
    NewerScheduler {
        /// Version that the worker is built for.
        needed: u32,
    },
    /// The schedulers that answered work with an older schema.
    Schema {
        /// Highest version that a scheduler reported.
        reported: u32,
        /// Version that the worker is built for.
        needed: u32,
    },
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIX: &str = "run `graywave migrate`, and upgrade the schedulers before the workers";
        match self {
            Self::Scheduler => f.write_str("no scheduler answers the worker's heartbeats"),
            Self::NewerScheduler { needed } => {
                write!(f, "no scheduler reports its schema, and this worker needs version {needed}: {FIX}")
            }
            Self::Schema { reported, needed } => write!(
                f,
                "the schedulers work with schema version {reported}, and this worker needs {needed}: {FIX}"
            ),
        }
    }
}

/// Decides whether a worker may take agents. `reported` is the highest version that a scheduler has
/// reported since the start: `None` without an answer, 0 from a scheduler that reports none.
///
/// # Errors
///
/// What the worker waits for.
pub const fn admit_worker(reported: Option<u32>, needed: u32) -> Result<(), WaitsFor> {
    match reported {
        None => Err(WaitsFor::Scheduler),
        Some(reported) if fits(reported, needed) => Ok(()),
        Some(0) => Err(WaitsFor::NewerScheduler { needed }),
        Some(reported) => Err(WaitsFor::Schema { reported, needed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_waits_for_a_scheduler_with_its_schema() {
        let waits = [
            (None, WaitsFor::Scheduler),
            (Some(0), WaitsFor::NewerScheduler { needed: 3 }),
            (Some(2), WaitsFor::Schema { reported: 2, needed: 3 }),
        ];
        for (reported, expected) in waits {
            assert_eq!(admit_worker(reported, 3), Err(expected));
        }
        for reported in [3, 4, u32::MAX] {
            assert_eq!(admit_worker(Some(reported), 3), Ok(()), "{reported}");
        }
    }

    #[test]
    fn old_scheduler_on_a_new_schema_admits_no_new_worker() {
        assert_eq!(admit_worker(Some(reported(3, 2)), 3), Err(WaitsFor::Schema { reported: 2, needed: 3 }));
        assert_eq!(admit_worker(Some(reported(3, 3)), 3), Ok(()));
    }

    #[test]
    fn new_scheduler_on_an_old_schema_admits_no_new_worker() {
        assert_eq!(admit_worker(Some(reported(2, 3)), 3), Err(WaitsFor::Schema { reported: 2, needed: 3 }));
        assert!(!fits(2, 3) && fits(3, 3) && fits(4, 3));
    }

    #[test]
    fn reason_names_both_versions_and_the_order() {
        let text = WaitsFor::Schema { reported: 2, needed: 3 }.to_string();
        assert!(text.contains("version 2") && text.contains("needs 3"), "{text}");
        assert!(
            text.contains("graywave migrate") && text.contains("schedulers before the workers"),
            "{text}"
        );
    }
}
