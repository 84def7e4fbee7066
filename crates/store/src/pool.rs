//! The connection pool, with a timeout on every wait.

use std::{
    convert::Infallible,
    net::IpAddr,
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::schema::{DatabaseSchema, SCHEMA_VERSION};
use sqlx::{
    PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use telemetry::metric;
use time_sync::Clock;

use crate::{
    Connection, Error,
    connection_watchdog::{self, Generation, Silence},
    migrations, schema_version,
};

/// Returns the host of a database if it is another machine and its certificate and name are not
/// verified; `None` otherwise, or if the URL is not valid.
pub fn unverified_host(options: &PoolOptions) -> Option<String> {
    let options = connect_options(options).ok()?;
    let host = options.get_host();
    let is_here = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    (!is_here && !is_verified).then(|| host.to_owned())
}

/// An open transaction. Rolls back unless it is committed.
pub type Tx = Transaction<'static, Postgres>;

/// A connection of the pool, which returns to it when dropped.
pub type Acquired = PoolConnection<Postgres>;

/// Waits until the database has ended the last statement of a connection, also one that nobody
/// waits for any more.
pub async fn wait_until_idle(connection: &mut Connection) -> Result<(), Error> {
    Ok(sqlx::Connection::ping(connection).await?)
}

/// Connection settings.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// URL in the form `postgres://user@host:port/database`.
    pub url: String,
    /// Certificates of the CAs of the database, in PEM. With them, the connection is always
    /// encrypted, and the certificate and the name of the database are verified. The driver adds
    /// them to its public web CAs, so they do not restrict which CAs are accepted.
    pub ca_pem: Option<Vec<u8>>,
    /// Maximum number of connections.
    pub max_connections: u32,
    /// Number of these connections that only [`Store::for_liveness`] uses; 0 reserves none.
    pub liveness_connections: u32,
    /// Number of these connections that only [`Store::for_lists`] uses; 0 reserves none.
    pub list_connections: u32,
    /// Maximum run time of one statement on the connections for lists.
    pub list_timeout: Duration,
    /// Maximum time that a caller waits for a connection before the call fails as unavailable.
    pub acquire_timeout: Duration,
    /// Maximum run time of one statement.
    pub statement_timeout: Duration,
}

impl PoolOptions {
    /// Creates the default settings for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_pem: None,
            max_connections: 10,
            liveness_connections: 0,
            list_connections: 0,
            list_timeout: Duration::from_secs(20),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
        }
    }
}

impl PoolOptions {
    /// Checks the URL and its parameters. Connects to nothing.
    ///
    /// # Errors
    ///
    /// The URL is not valid.
    pub fn check(&self) -> Result<(), Error> {
        connect_options(self).map(drop)
    }
}

/// A handle to the database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    /// Connections that only signs of life use; `None` if none are reserved.
    liveness: Option<PgPool>,
    /// Connections that only lists use; `None` if none are reserved.
    lists: Option<PgPool>,
    max_connections: u32,
    clock: Clock,
    silence: Silence,
    /// Schema that fits this program, and the settings with which it was read.
    schema: Arc<Mutex<Option<(Generation, DatabaseSchema)>>>,
}

impl Store {
    /// Connects lazily: the first statement reveals whether the database answers.
    pub fn connect(options: &PoolOptions) -> Result<Self, Error> {
        let (connect, for_lists) = (connect_options(options)?, list_options(options)?);
        let silence = Silence::default();
        let pool = |connect, number| connect_pool(connect, number, options.acquire_timeout, &silence);
        let reserved = options.liveness_connections.saturating_add(options.list_connections);
        let max_connections = options.max_connections.saturating_sub(reserved).max(1);
        let reserve = |number: u32, connect| (number > 0).then(|| pool(connect, number));
        Ok(Self {
            liveness: reserve(options.liveness_connections, connect.clone()),
            lists: reserve(options.list_connections, for_lists),
            pool: pool(connect, max_connections),
            max_connections,
            clock: Clock::new(),
            silence,
            schema: Arc::default(),
        })
    }

    /// Opens connections with another URL and other CAs from now on. Open connections are closed
    /// when their work ends. The other settings stay.
    pub fn reconnect(&self, options: &PoolOptions) -> Result<(), Error> {
        let (connect, for_lists) = (connect_options(options)?, list_options(options)?);
        for pool in std::iter::once(&self.pool).chain(&self.liveness) {
            pool.set_connect_options(connect.clone());
        }
        if let Some(lists) = &self.lists {
            lists.set_connect_options(for_lists);
        }
        self.silence.replace_connections();
        Ok(())
    }

    /// Returns the handle for heartbeats, lease renewals and other short signs of life. They have
    /// connections of their own, since work that waits for a lock may occupy all others.
    #[must_use]
    pub fn for_liveness(&self) -> Self {
        let pool = self.liveness.as_ref().unwrap_or(&self.pool).clone();
        Self { pool, ..self.clone() }
    }

    /// Returns the handle for lists and counts, which may read many rows. They have connections of
    /// their own with a short time limit, so that they delay no change.
    #[must_use]
    pub fn for_lists(&self) -> Self {
        let pool = self.lists.as_ref().unwrap_or(&self.pool).clone();
        let max_connections = pool.options().get_max_connections();
        Self { pool, max_connections, ..self.clone() }
    }

    /// Returns the maximum number of connections without reserved ones.
    pub const fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// Migrates the schema. Several processes may call it concurrently: the migrator takes a lock.
    /// A schema newer than this program stays unchanged. Migrations keep what the previous version
    /// needs, which allows rollbacks and rolling upgrades.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut migrator = migrations::migrator();
        migrator.set_ignore_missing(true).run(&self.pool).await.map_err(Error::Migrate)
    }

    /// Returns the schema in the database.
    ///
    /// A schema never becomes older, so the database is not asked again once it had one that fits
    /// this program, until [`Store::reconnect`].
    pub async fn schema(&self) -> Result<DatabaseSchema, Error> {
        let generation = self.silence.generation();
        let known = *self.schema.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = known.filter(|(of, _)| *of == generation) {
            return Ok(known);
        }
        let found = schema_version::schema(&mut *self.acquire().await?).await?;
        if found.check(SCHEMA_VERSION).is_ok() {
            *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = Some((generation, found));
        }
        Ok(found)
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

    /// Acquires a connection for single statements.
    pub async fn acquire(&self) -> Result<Acquired, Error> {
        self.know_time().await?;
        let begun = Instant::now();
        noted(begun, self.pool.acquire().await)
    }

    /// Checks that the database answers now.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut connection = self.acquire().await?;
        sqlx::Connection::ping(&mut *connection).await?;
        Ok(())
    }

    /// Returns the database's clock, which all processes share regardless of their machines'
    /// clocks. It is read before the first statement, and again by [`Store::watch`].
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn know_time(&self) -> Result<(), Error> {
        if self.clock.sample().is_some() { Ok(()) } else { self.learn_time().await }
    }

    /// Reads the database's clock.
    async fn learn_time(&self) -> Result<(), Error> {
        Ok(connection_watchdog::ask_time(&mut *self.pool.acquire().await?, &self.clock).await?)
    }

    /// Checks continuously whether the database answers, on a separate connection. Without this
    /// task a silent outage is not detected.
    pub async fn watch(&self) -> Infallible {
        self.silence.watch(|| self.pool.connect_options(), &self.clock).await
    }

    /// Runs work, and fails it as unavailable when [`Store::watch`] detects an outage. The work
    /// would otherwise wait for an answer that never arrives.
    pub async fn unless_silent<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            () = self.silence.found() => Err(Error::Database(connection_watchdog::error())),
        }
    }

    /// Returns the numbers of busy and idle connections, reserved ones included.
    pub fn connections(&self) -> (u32, u32) {
        let pools = || std::iter::once(&self.pool).chain(&self.liveness).chain(&self.lists);
        let size: u32 = pools().map(PgPool::size).sum();
        let idle: usize = pools().map(PgPool::num_idle).sum();
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        (size.saturating_sub(idle), idle)
    }

    /// Closes every connection, after waiting for busy ones.
    pub async fn close(&self) {
        self.pool.close().await;
        for reserved in self.liveness.iter().chain(&self.lists) {
            reserved.close().await;
        }
    }

    pub(crate) const fn silence(&self) -> &Silence {
        &self.silence
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Settings of connections for lists.
fn list_options(options: &PoolOptions) -> Result<PgConnectOptions, Error> {
    Ok(connect_options(options)?.options([
        ("statement_timeout", options.list_timeout.as_millis().to_string().as_str()),
        // A list over a million targets sorts and hashes them.
        ("work_mem", "32MB"),
        // The best plan of a list depends on its filters and offset.
        ("plan_cache_mode", "force_custom_plan"),
    ]))
}

fn connect_options(options: &PoolOptions) -> Result<PgConnectOptions, Error> {
    let statement_timeout = options.statement_timeout.as_millis().to_string();
    let connect = PgConnectOptions::from_str(&options.url)?;
    let connect = match &options.ca_pem {
        Some(ca_pem) => connect.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(ca_pem.clone()),
        None => connect,
    };
    Ok(connect.application_name("graywave").options([
        ("statement_timeout", statement_timeout.as_str()),
        // Suppresses the notices that IF NOT EXISTS emits on every start.
        ("client_min_messages", "warning"),
        ("idle_in_transaction_session_timeout", "60000"),
        // A page of a million-row task is found by index; JIT compilation costs more than its
        // execution.
        ("jit", "off"),
    ]))
}

/// Creates a pool that connects lazily.
fn connect_pool(
    connect: PgConnectOptions,
    max_connections: u32,
    acquire_timeout: Duration,
    silence: &Silence,
) -> PgPool {
    let [before_acquire, after_release] = [silence.clone(), silence.clone()];
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(acquire_timeout)
        // A ping per acquire costs a round trip, and only a long-idle connection is likely to
        // be dead.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let refused = before_acquire.refuse(meta.age);
            let is_doubtful = before_acquire.is_doubtful(meta.age);
            let is_replaced = before_acquire.is_replaced(meta.age, acquire_timeout);
            Box::pin(async move {
                refused?;
                if is_replaced {
                    return Ok(false);
                }
                if is_doubtful || meta.idle_for > Duration::from_secs(30) {
                    sqlx::Connection::ping(connection).await?;
                }
                Ok(true)
            })
        })
        // The pool pings a returned connection and would wait for the answer.
        .after_release(move |_, meta| {
            let silence = after_release.clone();
            Box::pin(async move {
                silence.settled().await;
                silence.refuse(meta.age).map(|()| !silence.is_replaced(meta.age, acquire_timeout))
            })
        })
        .after_connect(|connection, _| Box::pin(refuse_standby(connection)))
        .connect_lazy_with(connect)
}

/// Observes the wait for a connection.
fn noted<T>(begun: Instant, acquired: Result<T, sqlx::Error>) -> Result<T, Error> {
    metric::DATABASE_WAIT_SECONDS.observe_duration(begun.elapsed(), &[]);
    if matches!(acquired, Err(sqlx::Error::PoolTimedOut)) {
        metric::DATABASE_TIMEOUTS.increment(1, &[]);
    }
    Ok(acquired?)
}

/// Refuses a connection to a standby. During a failover the database's address may lead to a node
/// that has become a standby. It accepts connections and rejects every write. A pool that kept such
/// connections would fail long after the address leads to the new primary. One check per connection
/// suffices: a primary becomes a standby only by a restart, which ends its connections.
async fn refuse_standby(connection: &mut Connection) -> Result<(), sqlx::Error> {
    let is_standby =
        sqlx::query_scalar!(r#"SELECT pg_is_in_recovery() AS "is_standby!""#).fetch_one(connection).await?;
    if is_standby {
        return Err(sqlx::Error::Io(std::io::Error::other(
            "the database is a standby and accepts no writes",
        )));
    }
    Ok(())
}
