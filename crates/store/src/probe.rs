//! A first look at the database: whether it answers, and whether it has the schema.

use std::{
    error::Error as StdError,
    io::{self, ErrorKind},
};

use domain::schema::{DoesNotFit, SCHEMA_VERSION};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::{Store, schema_version};

/// Condition of a database in which no command can work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// No connection to Postgres: it does not run there, or the way to it is blocked.
    #[error("cannot reach Postgres at {address}: {cause}")]
    Unreachable {
        /// Host and port, or the path of the socket.
        address: String,
        /// Cause, as the operating system names it.
        cause: String,
    },
    /// Postgres answered and refused the connection, for example a wrong password.
    #[error("Postgres at {address} refused the connection: {cause}")]
    Refused {
        /// Host and port, or the path of the socket.
        address: String,
        /// Message of Postgres.
        cause: String,
    },
    /// The database has no tables of Graywave.
    #[error("the database has no schema yet: run `graywave migrate`")]
    NoSchema,
    /// The schema does not fit this program.
    #[error(transparent)]
    Schema(#[from] DoesNotFit),
}

impl Store {
    /// Checks that Postgres accepts a connection, within the time that a caller waits for one.
    ///
    /// # Errors
    ///
    /// Postgres does not answer, or refuses the connection.
    pub async fn check_reachable(&self) -> Result<(), NotUsable> {
        self.connect_alone().await.map(drop)
    }

    /// Checks that Postgres accepts a connection and that the database has the schema.
    ///
    /// # Errors
    ///
    /// Postgres does not answer or refuses the connection, or the schema is missing.
    pub async fn check_usable(&self) -> Result<(), NotUsable> {
        let mut connection = self.connect_alone().await?;
        let options = self.pool().connect_options();
        let found =
            tokio::time::timeout(self.acquire_timeout(), schema_version::schema(&mut connection)).await;
        match found {
            Ok(Ok(found)) if found.version == 0 => Err(NotUsable::NoSchema),
            Ok(Ok(found)) => Ok(found.check(SCHEMA_VERSION)?),
            Ok(Err(error)) => Err(not_usable(&options, &error)),
            Err(_) => Err(self.silent(&options)),
        }
    }

    /// Opens a connection outside the pool, which would hide the cause of a failure.
    async fn connect_alone(&self) -> Result<PgConnection, NotUsable> {
        let options = self.pool().connect_options();
        let connected =
            tokio::time::timeout(self.acquire_timeout(), PgConnection::connect_with(&options)).await;
        match connected {
            Ok(connected) => connected.map_err(|error| not_usable(&options, &error)),
            Err(_) => Err(self.silent(&options)),
        }
    }

    fn acquire_timeout(&self) -> std::time::Duration {
        self.pool().options().get_acquire_timeout()
    }

    fn silent(&self, options: &PgConnectOptions) -> NotUsable {
        let cause = format!("no answer within {:?}", self.acquire_timeout());
        NotUsable::Unreachable { address: address(options), cause }
    }
}

fn not_usable(options: &PgConnectOptions, error: &sqlx::Error) -> NotUsable {
    let address = address(options);
    match error {
        sqlx::Error::Database(refused) => NotUsable::Refused { address, cause: refused.message().to_owned() },
        sqlx::Error::Io(error) => NotUsable::Unreachable { address, cause: io_cause(error) },
        other => NotUsable::Unreachable { address, cause: deepest(other) },
    }
}

/// Formats the address of the server: `localhost:5432`, or the path of its socket.
fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(directory) => directory.join(format!(".s.PGSQL.{}", options.get_port())).display().to_string(),
        None if options.get_host().starts_with('/') => {
            format!("{}/.s.PGSQL.{}", options.get_host(), options.get_port())
        }
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Names the cause of an I/O error without the number of the operating system.
fn io_cause(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::NotFound => "no such socket".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::TimedOut => "timed out".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "no route to the host".to_owned(),
        _ => deepest(error),
    }
}

/// Returns the message of the innermost cause. Outer ones repeat it.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Returns the message of Postgres from a chain of causes; `None` if Postgres did not cause the
/// error.
pub fn postgres_message(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(sqlx::Error::Database(refused)) = inner.downcast_ref::<sqlx::Error>() {
            return Some(refused.message().to_owned());
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, time::Duration};

    use super::*;
    use crate::PoolOptions;

    async fn checked(url: &str) -> NotUsable {
        let options = PoolOptions { acquire_timeout: Duration::from_millis(300), ..PoolOptions::new(url) };
        Store::connect(&options).unwrap().check_usable().await.unwrap_err()
    }

    #[tokio::test]
    async fn closed_port_is_connection_refused() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = checked(&format!("postgres://u@127.0.0.1:{port}/db")).await.to_string();
        assert_eq!(text, format!("cannot reach Postgres at 127.0.0.1:{port}: connection refused"));
    }

    #[tokio::test]
    async fn silent_server_is_unreachable_within_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = checked(&format!("postgres://u@127.0.0.1:{port}/db")).await.to_string();
        assert!(text.ends_with(": no answer within 300ms"), "{text}");
    }

    #[tokio::test]
    async fn missing_socket_is_named_by_its_path() {
        let text = checked("postgres://u@localhost/db?host=/nowhere").await.to_string();
        assert_eq!(text, "cannot reach Postgres at /nowhere/.s.PGSQL.5432: no such socket");
    }
}
