//! Runs orders, several at the same time.

use std::{sync::Arc, time::Duration};

use proto::agent::Order;
use tokio::{task::JoinSet, time::timeout};

use super::{
    queue::Queue,
    run::{REMOVAL_GRACE, run_order},
    state::Shared,
};

/// Time limit for ending running scripts when the agent stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Dispatcher of queued orders.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) max_parallel: usize,
}

impl Dispatcher {
    /// Runs orders until the agent stops. Then it waits for the running orders to end and for the
    /// removal of their working directories.
    pub(crate) async fn run(self) {
        let _sweep = self.shared.scratch.remove_leftovers();
        // Dropping this future also drops all running orders.
        let mut running = JoinSet::new();
        loop {
            let number = running.len();
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                next = self.queue.next(|next| number < self.most(&next.order)) => {
                    running.spawn(run_order(next));
                }
                Some(ended) = running.join_next() => log_panic(ended),
            }
        }
        let all_ended = async {
            while let Some(ended) = running.join_next().await {
                log_panic(ended);
            }
        };
        if timeout(STOP_GRACE, all_ended).await.is_err() {
            tracing::error!("some scripts did not end in time; the next start reports them as UNKNOWN");
        }
        if timeout(REMOVAL_GRACE, self.shared.scratch.idle()).await.is_err() {
            tracing::info!("some working directories were not removed in time; the next start removes them");
        }
    }
}

impl Dispatcher {
    /// Maximum number of orders that may run together with this one.
    fn most(&self, order: &Order) -> usize {
        let asked = order.max_running.map_or(usize::MAX, |most| most.max(1) as usize);
        self.max_parallel.min(asked)
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an order panicked");
    }
}
