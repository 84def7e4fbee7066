//! The scheduler's loops: each is woken by a notification and by the clock, and is its own retry.

use std::{future::Future, time::Duration};

use chrono::Utc;
use store::notify::Listener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Engine, Wakes};

/// How often partitions are looked after.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3_600);
/// Pause before a listener that failed is made again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub async fn run(engine: Engine, wakes: Wakes, stop: CancellationToken) {
    let period = Duration::from_millis(u64::from(engine.config().period_ms));
    let store = engine.store();
    tokio::join!(
        listen(&engine, &wakes, &stop),
        every(period, wakes.cut.subscribe(), &stop, "cut", || store.unless_silent(async {
            while engine.cut_all(Utc::now()).await? && !stop.is_cancelled() {}
            Ok(())
        })),
        every(period, wakes.presence.subscribe(), &stop, "reap", || {
            store.unless_silent(engine.reap(Utc::now()))
        }),
        every(PARTITIONS_EVERY, watch::Sender::new(()).subscribe(), &stop, "partitions", || {
            store.unless_silent(async {
                store::partition::ensure(&mut *store.acquire().await?, Utc::now()).await
            })
        }),
    );
}

/// Runs a tick at every wake-up and at least once in a period. A tick that fails is logged; the next one is its
/// retry, a whole period later, so that a database that is away is not stormed.
async fn every<F, T>(
    period: Duration,
    mut bell: watch::Receiver<()>,
    stop: &CancellationToken,
    name: &'static str,
    tick: F,
) where
    F: Fn() -> T,
    T: Future<Output = Result<(), store::Error>>,
{
    loop {
        bell.mark_unchanged();
        let failed = match tick().await {
            Ok(()) => false,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, name, "tick failed");
                true
            }
        };
        let woken = async {
            if failed || bell.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(period) => {}
            () = woken => {}
        }
    }
}

/// Turns the database's notifications into wake-ups.
async fn listen(engine: &Engine, wakes: &Wakes, stop: &CancellationToken) {
    let run = async {
        loop {
            if let Err(error) = forward(engine, wakes).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "listening failed");
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = run => {}
    }
}

async fn forward(engine: &Engine, wakes: &Wakes) -> Result<(), store::Error> {
    let mut listener = Listener::connect(engine.store()).await?;
    // What happened before we listened.
    wakes.ring(store::notify::Wake::Everything);
    loop {
        wakes.ring(listener.next().await?);
    }
}
