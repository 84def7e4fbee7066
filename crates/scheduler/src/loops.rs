//! Loops of the scheduler: each runs on notifications and on a period, so its next run is its
//! retry.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use engine::{DueTimes, Liveness};
use store::notify::Listener;
use telemetry::metric;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Retention, Scheduler, Wakes, metrics};

/// Interval of the partition maintenance.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3_600);
/// Interval of the retention sweep.
const RETENTION_EVERY: Duration = Duration::from_secs(3_600);
/// Interval of the seals of the audit.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// Interval of the checks of single parts of the newest records.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Interval at which the numbers behind lists are counted again.
const REPAIR_EVERY: Duration = Duration::from_secs(3_600);
/// Interval at which live output that no caller reads is deleted.
const OUTPUTS_EVERY: Duration = Duration::from_secs(30);
/// Interval at which changes of tasks that no client needs any more are deleted.
const CHANGES_EVERY: Duration = Duration::from_secs(10);
/// Interval of the gauge update, close to the usual scrape interval of collectors.
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// Pause before a failed listener reconnects.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Runs all loops until `stop` is cancelled.
pub async fn run(scheduler: Scheduler, retention: Retention, wakes: Wakes, stop: CancellationToken) {
    let period = Duration::from_millis(u64::from(scheduler.config().period_ms));
    let by_the_clock = || watch::Sender::new(()).subscribe();
    let timeout = Duration::from_millis(u64::from(scheduler.config().worker_timeout_ms));
    let (liveness, began) = (Mutex::new(Liveness::new(timeout)), Instant::now());
    let store = scheduler.store();
    tokio::join!(
        listen(&scheduler, &wakes, &stop),
        every(period, wakes.admit.subscribe(), &stop, "admit", || store.unless_silent(async {
            while scheduler.admit_all(scheduler.now()).await? && !stop.is_cancelled() {}
            Ok(())
        })),
        every(period, wakes.presence.subscribe(), &stop, "reap", || reap(&scheduler, &liveness, began)),
        every(period, wakes.deny_list.subscribe(), &stop, "deny_list", || {
            store.unless_silent(scheduler.deny_lists.load(store))
        }),
        every(PARTITIONS_EVERY, by_the_clock(), &stop, "partitions", || {
            store.unless_silent(async {
                let mut connection = scheduler.partition_store().acquire().await?;
                store::partition::ensure(&mut connection, scheduler.now()).await
            })
        }),
        every(SEAL_EVERY, by_the_clock(), &stop, "seal", || store.unless_silent(async {
            while scheduler.seal_all(scheduler.now()).await? && !stop.is_cancelled() {}
            Ok(())
        })),
        every(period, by_the_clock(), &stop, "projection", || {
            store.unless_silent(scheduler.project_all(scheduler.now(), &stop))
        }),
        every(CHECK_EVERY, by_the_clock(), &stop, "projection_check", || {
            store.unless_silent(scheduler.check_projection(scheduler.now()))
        }),
        every(REPAIR_EVERY, by_the_clock(), &stop, "count_check", || {
            store.unless_silent(scheduler.repair_counts(&stop))
        }),
        every(OUTPUTS_EVERY, by_the_clock(), &stop, "live_output", || {
            store.unless_silent(scheduler.sweep_outputs(scheduler.now()))
        }),
        every(CHANGES_EVERY, by_the_clock(), &stop, "task_changes", || {
            store.unless_silent(scheduler.sweep_task_changes(scheduler.now(), &stop))
        }),
        every(GAUGES_EVERY, by_the_clock(), &stop, "gauges", || store.unless_silent(metrics::refresh(store))),
        every(RETENTION_EVERY, by_the_clock(), &stop, "retention", || {
            store.unless_silent(async {
                // A sweep may wait long for locks, and the next sweep completes unfinished work, so
                // a shutdown does not wait.
                let tick = || stop.run_until_cancelled(scheduler.retain(&retention, scheduler.now()));
                while tick().await.transpose()?.unwrap_or(false) {}
                Ok(())
            })
        }),
    );
}

async fn reap(scheduler: &Scheduler, liveness: &Mutex<Liveness>, began: Instant) -> Result<(), store::Error> {
    let now = scheduler.now();
    let liveness = || liveness.lock().unwrap_or_else(PoisonError::into_inner);
    let observed_until = liveness().observed_until(began.elapsed(), now);
    let reaped = scheduler.store().unless_silent(scheduler.reap(DueTimes { now, observed_until })).await;
    if reaped.as_ref().is_err_and(store::Error::is_unavailable) {
        liveness().interrupted();
    }
    reaped
}

/// Runs a tick at every wake-up and at least once per period. A failed tick is logged and retried a
/// whole period later, so that an unavailable database is not flooded.
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
        let begun = Instant::now();
        let ended = tick().await;
        metric::TICK_SECONDS.observe_duration(begun.elapsed(), &[name]);
        let failed = match ended {
            Ok(()) => false,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, name, "tick failed");
                metric::TICKS_FAILED.increment(1, &[name]);
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

/// Converts database notifications to wake-ups.
async fn listen(scheduler: &Scheduler, wakes: &Wakes, stop: &CancellationToken) {
    let run = async {
        loop {
            if let Err(error) = forward(scheduler, wakes).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "listening for database notifications failed"
                );
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = run => {}
    }
}

async fn forward(scheduler: &Scheduler, wakes: &Wakes) -> Result<(), store::Error> {
    let mut listener = Listener::connect(scheduler.store()).await?;
    // Covers changes from before the listener connected.
    wakes.ring(store::notify::Wake::Everything);
    loop {
        wakes.ring(listener.next().await?);
    }
}
