//! Fairness: a task of one desktop, submitted behind a large task of another project that fills the
//! worker. Its yardstick is the same task on the idle system, in the same run.

use anyhow::ensure;
use serde::Serialize;
use sim::fleet::SLOW;

use crate::{
    latency::Latency,
    system::{Desktops, OTHER_PROJECT, PROJECT, Platform},
};

/// The large task has this many targets for each one that the worker has capacity for.
const TARGETS_PER_CAPACITY: u32 = 4;
/// Number of measurements behind large tasks, and of those on the idle system.
const TRIES: usize = 20;

/// Starts of an urgent task, from POST to the arrival of its order.
#[derive(Debug, Serialize)]
pub(crate) struct Fairness {
    /// Number of desktops of a large task.
    pub(crate) desktops: u32,
    /// Maximum number of targets in flight on the worker.
    pub(crate) capacity: u32,
    /// Number of large tasks, one after the other.
    pub(crate) large_tasks: u32,
    pub(crate) urgent_start_ms: Latency,
    pub(crate) idle_start_ms: Latency,
    /// Ratio of the medians: behind large tasks to the idle system.
    pub(crate) ratio_to_idle: f64,
}

/// Measures behind large tasks on this number of desktops.
pub(crate) async fn measure(desktops: u32) -> anyhow::Result<Fairness> {
    let capacity = (desktops / TARGETS_PER_CAPACITY).max(1);
    let platform = Platform::start(&[("WORKER__CAPACITY", &capacity.to_string())], "").await?;
    let mut urgent = platform.connect(OTHER_PROJECT, 1).await?;
    let mut large = platform.connect(PROJECT, desktops).await?;
    // Warms caches and connections.
    start_ms(&mut urgent).await?;
    let (mut behind, mut idle, mut large_tasks) = (Vec::new(), Vec::new(), 0);
    while behind.len() < TRIES {
        idle.push(start_ms(&mut urgent).await?);
        let measured = behind.len();
        large = measure_behind(large, desktops, capacity, &mut urgent, &mut behind).await?;
        ensure!(behind.len() > measured, "no urgent task started before the last target of a large one");
        large_tasks += 1;
    }
    while idle.len() < TRIES {
        idle.push(start_ms(&mut urgent).await?);
    }
    let [urgent_start_ms, idle_start_ms] = [behind, idle].map(Latency::new);
    let ratio_to_idle = urgent_start_ms.p50 / idle_start_ms.p50;
    Ok(Fairness { desktops, capacity, large_tasks, urgent_start_ms, idle_start_ms, ratio_to_idle })
}

/// Runs a large task to its end. Meanwhile adds starts of urgent tasks, from the time when the
/// worker is full, up to [`TRIES`].
async fn measure_behind(
    mut large: Desktops,
    desktops: u32,
    capacity: u32,
    urgent: &mut Desktops,
    behind: &mut Vec<f64>,
) -> anyhow::Result<Desktops> {
    let mut started = large.started();
    let running = tokio::spawn(async move {
        large.execute(desktops, SLOW).await?;
        anyhow::Ok(large)
    });
    // Fails only when the large task has failed, which is returned below.
    if started.wait_for(|number| *number >= capacity).await.is_ok() {
        while behind.len() < TRIES {
            let start_ms = start_ms(urgent).await?;
            // Otherwise the large task may have left room for it.
            if *started.borrow() == desktops {
                break;
            }
            behind.push(start_ms);
        }
    }
    running.await?
}

async fn start_ms(urgent: &mut Desktops) -> anyhow::Result<f64> {
    Ok(urgent.execute(1, "true").await?.first_start_ms())
}
