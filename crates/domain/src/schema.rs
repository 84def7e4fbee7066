//! Versions of the database schema, and which roles wait for them.
//!
//! An upgrade has one order: migration, schedulers, then workers and APIs. A migration keeps what
//! the previous version of the program needs, so a newer schema always fits.

use std::fmt;

/// Version of the schema that this program is built for: the number of its newest migration.
pub const SCHEMA_VERSION: u32 = 1;

/// Schema that a database has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatabaseSchema {
    /// Number of its newest migration; 0 if it has none.
    pub version: u32,
    /// Whether the newest migration has the number of the program's newest one, but other contents.
    pub is_different: bool,
}

/// Reason why a program cannot work on the schema of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoesNotFit {
    /// The schema is older than the program.
    Old {
        /// Version of the schema in the database.
        found: u32,
        /// Version that the program is built for.
        needed: u32,
    },
    /// The schema has the version of the program and other contents.
    Different {
        /// Version of both.
        version: u32,
    },
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old { found, needed } => write!(
                f,
                "the database has schema version {found}, and this program needs {needed}: run `graywave migrate`"
            ),
            Self::Different { version } => write!(
                f,
                "the database has schema version {version} of another build of this program, with another \
                 migration {version}: use that build, or a new database"
            ),
        }
    }
}

impl std::error::Error for DoesNotFit {}

impl DatabaseSchema {
    /// Checks whether a program works on this schema. A newer one always fits.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub const fn check(self, built_for: u32) -> Result<(), DoesNotFit> {
        let Self { version, is_different } = self;
        if !fits(version, built_for) {
            Err(DoesNotFit::Old { found: version, needed: built_for })
        } else if is_different {
            Err(DoesNotFit::Different { version })
        } else {
            Ok(())
        }
    }
}

/// Version that a scheduler reports: what it works with.
///
/// This is the older one of the schema in the database and the schema that the scheduler is built
/// for. So a scheduler of the previous version does not admit workers of the next one, although the
/// database is migrated. A schema with other contents counts as version 0.
#[must_use]
pub fn reported(in_database: DatabaseSchema, built_for: u32) -> u32 {
    if in_database.is_different { 0 } else { in_database.version.min(built_for) }
}

/// Highest version that a scheduler has reported to a worker since the worker's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reported {
    /// No scheduler has answered.
    #[default]
    Nothing,
    /// Schedulers of a version before this check have answered.
    NoVersion,
    /// A scheduler reported a version: 0 without a schema that fits it.
    Version(u32),
}

impl Reported {
    /// Returns what one answer reports.
    #[must_use]
    pub const fn of_answer(version: Option<u32>) -> Self {
        match version {
            Some(version) => Self::Version(version),
            None => Self::NoVersion,
        }
    }
}

const fn fits(version: u32, built_for: u32) -> bool {
    version >= built_for
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
    /// The schedulers that answered have a database without a schema that fits them.
    Migration {
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
            Self::Migration { needed } => write!(
                f,
                "the database of the schedulers has no schema that fits them, and this worker needs version \
                 {needed}: {FIX}"
            ),
            Self::Schema { reported, needed } => write!(
                f,
                "the schedulers work with schema version {reported}, and this worker needs {needed}: {FIX}"
            ),
        }
    }
}

/// Decides whether a worker may take agents.
///
/// # Errors
///
/// What the worker waits for.
pub const fn admit_worker(reported: Reported, needed: u32) -> Result<(), WaitsFor> {
    match reported {
        Reported::Nothing => Err(WaitsFor::Scheduler),
        Reported::NoVersion => Err(WaitsFor::NewerScheduler { needed }),
        Reported::Version(reported) if fits(reported, needed) => Ok(()),
        Reported::Version(0) => Err(WaitsFor::Migration { needed }),
        Reported::Version(reported) => Err(WaitsFor::Schema { reported, needed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_waits_for_a_scheduler_with_its_schema() {
        let waits = [
            (Reported::Nothing, WaitsFor::Scheduler),
            (Reported::of_answer(None), WaitsFor::NewerScheduler { needed: 3 }),
            (Reported::of_answer(Some(0)), WaitsFor::Migration { needed: 3 }),
            (Reported::of_answer(Some(2)), WaitsFor::Schema { reported: 2, needed: 3 }),
        ];
        for (reported, expected) in waits {
            assert_eq!(admit_worker(reported, 3), Err(expected));
        }
        for reported in [3, 4, u32::MAX] {
            assert_eq!(admit_worker(Reported::Version(reported), 3), Ok(()), "{reported}");
        }
    }

    const fn database(version: u32) -> DatabaseSchema {
        DatabaseSchema { version, is_different: false }
    }

    fn admitted(reported: u32) -> Result<(), WaitsFor> {
        admit_worker(Reported::Version(reported), 3)
    }

    #[test]
    fn old_scheduler_on_a_new_schema_admits_no_new_worker() {
        assert_eq!(admitted(reported(database(3), 2)), Err(WaitsFor::Schema { reported: 2, needed: 3 }));
        assert_eq!(admitted(reported(database(3), 3)), Ok(()));
    }

    #[test]
    fn new_scheduler_on_an_old_schema_admits_no_new_worker() {
        assert_eq!(admitted(reported(database(2), 3)), Err(WaitsFor::Schema { reported: 2, needed: 3 }));
        assert_eq!(database(2).check(3), Err(DoesNotFit::Old { found: 2, needed: 3 }));
        assert_eq!([3, 4].map(|version| database(version).check(3)), [Ok(()), Ok(())]);
    }

    #[test]
    fn schema_of_the_same_version_must_be_the_same() {
        let different = DatabaseSchema { version: 3, is_different: true };
        let refused = different.check(3).unwrap_err();
        assert_eq!(refused, DoesNotFit::Different { version: 3 });
        assert!(refused.to_string().contains("another migration 3"), "{refused}");
        assert_eq!(admitted(reported(different, 3)), Err(WaitsFor::Migration { needed: 3 }));
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
