//! Wake-ups between processes: one NOTIFY per state change, never per row. A lost one costs at most
//! one period, because every loop also runs periodically.

use sqlx::postgres::PgListener;

use crate::{Connection, Error, Store, connection_watchdog::Generation};

/// Channel of all wake-ups.
pub(crate) const CHANNEL: &str = "graywave";

/// A change that a wake-up announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A wave may have targets to admit.
    Admit,
    /// Batches are ready to be pulled.
    Ready,
    /// Desktops connected or disconnected.
    Presence,
    /// A target that a worker holds is stopped.
    Stop,
    /// The deny-list of certificates has changed.
    DenyList,
    /// Any change: the listener was disconnected for a while.
    Everything,
}

impl Wake {
    pub(crate) const fn payload(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Ready => "ready",
            Self::Presence => "presence",
            Self::Stop => "stop",
            Self::DenyList => "deny_list",
            Self::Everything => "everything",
        }
    }
}

impl From<engine::Wake> for Wake {
    fn from(wake: engine::Wake) -> Self {
        match wake {
            engine::Wake::Admit => Self::Admit,
            engine::Wake::Ready => Self::Ready,
            engine::Wake::Presence => Self::Presence,
            engine::Wake::Stop => Self::Stop,
        }
    }
}

/// Sends wake-ups with the caller's commit, in one statement.
pub(crate) async fn send_all(
    connection: &mut Connection,
    wakes: impl IntoIterator<Item = engine::Wake>,
) -> Result<(), Error> {
    let payloads: Vec<String> = wakes.into_iter().map(|wake| Wake::from(wake).payload().to_owned()).collect();
    if payloads.is_empty() {
        return Ok(());
    }
    sqlx::query!("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", CHANNEL, &payloads)
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// Sends a wake-up with the caller's commit.
pub async fn send(connection: &mut Connection, wake: Wake) -> Result<(), Error> {
    sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, wake.payload()).execute(connection).await?;
    Ok(())
}

/// A listener on a dedicated connection.
#[derive(Debug)]
pub struct Listener {
    inner: PgListener,
    generation: Generation,
    store: Store,
}

impl Listener {
    /// Connects and listens.
    pub async fn connect(store: &Store) -> Result<Self, Error> {
        let generation = store.silence().generation();
        let mut inner = PgListener::connect_with(store.pool()).await?;
        inner.listen(CHANNEL).await?;
        Ok(Self { inner, generation, store: store.clone() })
    }

    /// Waits for the next wake-up. Returns [`Wake::Everything`] after a reconnect.
    pub async fn next(&mut self) -> Result<Wake, Error> {
        let received = async { Ok(self.inner.try_recv().await?) };
        let received = tokio::select! {
            received = self.store.unless_silent(received) => received?,
            () = self.store.silence().replaced(self.generation) => {
                *self = Self::connect(&self.store.clone()).await?;
                None
            }
        };
        let Some(notification) = received else { return Ok(Wake::Everything) };
        Ok([Wake::Admit, Wake::Ready, Wake::Presence, Wake::Stop, Wake::DenyList]
            .into_iter()
            .find(|wake| wake.payload() == notification.payload())
            .unwrap_or(Wake::Everything))
    }
}
