//! What can go wrong with the database, and whether waiting helps.

use domain::Reason;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database itself refused or did not answer.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the migration failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A row holds a value that the rules do not know: written by a newer version, or by hand.
    #[error("a row of {table} holds something unexpected: {what}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What.
        what: String,
    },
}

impl Error {
    /// Whether the database is away or overloaded, so that the same call may succeed later.
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
            // 08 connection, 53 resources, 57 operator intervention, 40 rolled back.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["08", "53", "57", "40", "25006"].iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }

    /// Whether one transaction failed on a database that answers: rolled back for another one (class 40), or out of its time.
    pub fn is_of_transaction(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        self.is_timeout() || error.code().is_some_and(|code| code.starts_with("40"))
    }

    /// Whether somebody else was waited for as long as was allowed, and in vain.
    pub(crate) fn is_timeout(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        // A statement's own time, or that of one lock.
        error.code().is_some_and(|code| code == "57014" || code == "55P03")
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
