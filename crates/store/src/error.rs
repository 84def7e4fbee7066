//! Database errors, and whether a later retry can succeed.

use domain::Reason;

/// Error of a database operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database rejected the statement or did not answer.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The schema could not be migrated.
    #[error("the migration failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A row contains an unknown value, written by a newer version or manually.
    #[error("invalid row in table {table}: {what}")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// Description of the invalid value.
        what: String,
    },
}

impl Error {
    /// Returns whether the database is unreachable or overloaded, so that the same call may succeed
    /// later.
    pub fn is_unavailable(&self) -> bool {
        let Self::Database(error) = self else { return false };
        match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_) => true,
            // SQLSTATE classes: 08 connection, 53 resources, 57 operator intervention, 40 rollback.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["08", "53", "57", "40", "25006"].iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }

    /// Returns whether a single transaction failed although the database answers: rolled back
    /// (class 40) or timed out.
    pub fn is_of_transaction(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        self.is_timeout() || error.code().is_some_and(|code| code.starts_with("40"))
    }

    /// Returns whether the database is unavailable for all work, and not only to this transaction.
    pub fn is_of_all_work(&self) -> bool {
        self.is_unavailable() && !self.is_of_transaction()
    }

    /// Returns whether neither the state of the database nor other transactions explain the error:
    /// the same statement with the same values fails again.
    pub fn is_of_values(&self) -> bool {
        !self.is_unavailable() && !self.is_of_transaction()
    }

    /// Returns whether a statement timeout or lock timeout ended the statement.
    pub fn is_timeout(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        // 57014 is a statement timeout, 55P03 a lock timeout.
        error.code().is_some_and(|code| code == "57014" || code == "55P03")
    }

    /// Returns whether no connection became free in time.
    pub fn is_pool_timeout(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::PoolTimedOut))
    }

    /// Creates the error of work that found no room within its time limit.
    pub const fn overloaded() -> Self {
        Self::Database(sqlx::Error::PoolTimedOut)
    }

    pub(crate) fn corrupt(table: &'static str, what: impl ToString) -> Self {
        Self::Corrupt { table, what: what.to_string() }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for domain::Error {
    fn from(error: Error) -> Self {
        if error.is_unavailable() {
            Self::new(Reason::DatabaseUnavailable, "the database does not answer; try again later")
                .with_source(error)
        } else {
            Self::internal().with_source(error)
        }
    }
}
