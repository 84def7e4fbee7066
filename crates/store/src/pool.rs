//! The connection pool, with every wait bounded.

use std::{
    convert::Infallible,
    str::FromStr as _,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use sqlx::{
    PgPool, Postgres, Transaction,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use telemetry::metric;
use time_sync::Clock;

use crate::{
    Connection, Error,
    connection_watchdog::{self, Silence},
};

/// An open transaction. Rolls back unless committed.
pub type Tx = Transaction<'static, Postgres>;

/// How to connect.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// `postgres://user@host:port/database`.
    pub url: String,
    /// Connections at most.
    pub max_connections: u32,
    /// How long a caller waits for a connection before it is told that the database does not answer.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
}

impl PoolOptions {
    /// The defaults for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
        }
    }
}

/// A handle on the database, cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    clock: Clock,
    silence: Silence,
}

/// The migrations of this program.
fn migrator() -> Migrator {
    sqlx::migrate!("../../migrations")
}

/// Returns a digest of all migrations in hexadecimal, which names the schema of this program.
pub fn schema_digest() -> String {
    let mut digest = Sha256::new();
    for migration in migrator().iter() {
        digest.update(&migration.checksum);
    }
    hex::encode(digest.finalize())
}

impl Store {
    /// Connects lazily: the first statement finds out whether the database answers.
    pub fn connect(options: &PoolOptions) -> Result<Self, Error> {
        let statement_timeout = options.statement_timeout.as_millis().to_string();
        let connect = PgConnectOptions::from_str(&options.url)?.application_name("graywave").options([
            ("statement_timeout", statement_timeout.as_str()),
            // IF NOT EXISTS says on every start that it did nothing.
            ("client_min_messages", "warning"),
            ("idle_in_transaction_session_timeout", "60000"),
            // A page of a million-row task is found by index; compiling its plan costs more than running it.
            ("jit", "off"),
        ]);
        let silence = Silence::default();
        let [before_acquire, after_release] = [silence.clone(), silence.clone()];
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            // A ping for each acquire costs a round trip; only a connection that idled for long may be dead.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let refused = before_acquire.refuse(meta.age);
                Box::pin(async move {
                    refused?;
                    if meta.idle_for > Duration::from_secs(30) {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            // The pool asks a connection that comes back whether it is whole, and would wait for the answer.
            .after_release(move |_, meta| {
                let silence = after_release.clone();
                Box::pin(async move {
                    silence.settled().await;
                    silence.refuse(meta.age).map(|()| true)
                })
            })
            .after_connect(|connection, _| Box::pin(refuse_standby(connection)))
            .connect_lazy_with(connect);
        Ok(Self { pool, clock: Clock::new(), silence })
    }

    /// Brings the schema up to date. Several processes may call it at once: the migrator takes a lock. A schema that is newer
    /// than this program is left as it is: migrations keep what the version before them needs, so that one may go back to
    /// it, and go on with it while another process is upgraded already.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut migrator = migrator();
        migrator.set_ignore_missing(true).run(&self.pool).await.map_err(Error::Migrate)
    }

    /// Opens a transaction.
    pub async fn begin(&self) -> Result<Tx, Error> {
        self.know_time().await?;
        let begun = Instant::now();
        noted(begun, self.pool.begin().await)
    }

    /// Commits a transaction.
    pub async fn commit(&self, tx: Tx) -> Result<(), Error> {
        let begun = Instant::now();
        tx.commit().await?;
        metric::DATABASE_COMMIT_SECONDS.observe_duration(begun.elapsed(), &[]);
        Ok(())
    }

    /// A connection for single statements.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.know_time().await?;
        let begun = Instant::now();
        noted(begun, self.pool.acquire().await)
    }

    /// Whether the database answers now.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut connection = self.acquire().await?;
        sqlx::Connection::ping(&mut *connection).await?;
        Ok(())
    }

    /// The database's time: of all processes on it, whatever their machines' clocks say. It is asked for before the first
    /// statement, and again by [`Store::watch`].
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn know_time(&self) -> Result<(), Error> {
        if self.clock.told().is_some() { Ok(()) } else { self.learn_time().await }
    }

    /// Asks the database what time it is.
    async fn learn_time(&self) -> Result<(), Error> {
        Ok(connection_watchdog::ask_time(&mut *self.pool.acquire().await?, &self.clock).await?)
    }

    /// Looks all the time whether the database still answers, on a connection beside the pool's. While nobody runs this,
    /// nobody notices a database that is gone without a word.
    pub async fn watch(&self) -> Infallible {
        self.silence.watch(&self.pool.connect_options(), &self.clock).await
    }

    /// Does some work, and gives it up as unavailable when [`Store::watch`] finds that the database is gone: the work
    /// waits for an answer that never comes.
    pub async fn unless_silent<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            () = self.silence.found() => Err(Error::Database(connection_watchdog::error())),
        }
    }

    /// Connections of the pool that are in use, and those that wait for use.
    pub fn connections(&self) -> (u32, u32) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        (self.pool.size().saturating_sub(idle), idle)
    }

    /// Closes every connection and waits for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Notes how long a connection was waited for.
fn noted<T>(begun: Instant, acquired: Result<T, sqlx::Error>) -> Result<T, Error> {
    metric::DATABASE_WAIT_SECONDS.observe_duration(begun.elapsed(), &[]);
    if matches!(acquired, Err(sqlx::Error::PoolTimedOut)) {
        metric::DATABASE_TIMEOUTS.increment(1, &[]);
    }
    Ok(acquired?)
}

/// While the database fails over, its address may lead to a node that is a standby by now. That takes connections and
/// answers every write with an error, so a pool that kept them would fail for as long as they stand, long after the
/// address leads to the new primary. To ask once is enough: a primary becomes a standby only by a restart, which ends
/// its connections.
async fn refuse_standby(connection: &mut Connection) -> Result<(), sqlx::Error> {
    let is_standby =
        sqlx::query_scalar!(r#"SELECT pg_is_in_recovery() AS "is_standby!""#).fetch_one(connection).await?;
    if is_standby {
        return Err(sqlx::Error::Io(std::io::Error::other(
            "the database is a standby, which takes no writes",
        )));
    }
    Ok(())
}
