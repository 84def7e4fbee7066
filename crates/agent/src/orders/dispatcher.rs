//! Runs orders, several at the same time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use proto::agent::Order;
use runner::RunState;
use tokio::{
    task::JoinSet,
    time::{Instant, interval_at, timeout},
};

use super::{
    decision::LATE,
    queue::Queue,
    run::{REMOVAL_GRACE, run_order},
    state::{Accepted, Shared},
};
use crate::{
    blocking::blocking,
    execution::Runs,
    journal::{JournalState, Key, RunningOrder},
};

/// Time limit for ending running scripts when the agent stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Interval at which working directories are removed that background processes kept in use.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Dispatcher of queued orders.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) max_parallel: usize,
    /// Orders that an earlier agent began.
    pub(super) recovered: Vec<Accepted>,
}

impl Dispatcher {
    /// Runs orders until the agent stops. Then it waits for the running orders to end and for the
    /// removal of their working directories.
    pub(crate) async fn run(self) {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.remove_ended_runs()).await;
        let mut _sweep = self.shared.scratch.remove_leftovers();
        let mut sweep_again = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
        // Dropping this future also drops all running orders.
        let mut running = JoinSet::new();
        // They run already, so the limit does not apply.
        for recovered in self.recovered {
            running.spawn(run_order(recovered));
        }
        loop {
            let number = running.len();
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                next = self.queue.next(|next| number < most(self.max_parallel, &next.order)) => {
                    running.spawn(run_order(next));
                }
                _ = sweep_again.tick() => {
                    _sweep = self.shared.scratch.remove_leftovers();
                    self.shared.end_forgotten_pauses().await;
                }
                overdue = self.queue.overdue(|| self.shared.now_ms()) => {
                    overdue.into_iter().for_each(|accepted| accepted.active.give_back(LATE, false));
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
            tracing::error!("some scripts were not left in time; the next start finds them");
        }
        self.shared.leaving.close();
        let removed = async {
            self.shared.leaving.wait().await;
            self.shared.scratch.idle().await;
        };
        if timeout(REMOVAL_GRACE, removed).await.is_err() {
            tracing::info!("some working directories were not removed in time; the next start removes them");
        }
    }
}

/// Maximum number of orders that may run together with this one.
fn most(max_parallel: usize, order: &Order) -> usize {
    let asked = order.max_running.map_or(usize::MAX, |most| most.max(1) as usize);
    max_parallel.min(asked)
}

impl Shared {
    /// Removes run directories of an order whose results are stored. One whose runner still drains
    /// output stays until the runner is gone.
    pub(super) fn remove_runs(&self, key: &Key, script_count: u32) {
        for id in (0..script_count).filter_map(|script| Runs::id(key, script).ok()) {
            if self.runs.dir(&id).path().exists() && !self.runs.is_locked(&id) {
                self.scratch.remove_run(&id);
            }
        }
    }

    /// Removes run directories that no open order needs, and keeps the working directories of
    /// runners that still drain output.
    fn remove_ended_runs(&self) {
        let open = self.journal.book(JournalState::open_orders);
        let is_open: HashSet<String> = open
            .into_iter()
            .flat_map(|(key, count)| (0..count).filter_map(move |script| Runs::id(&key, script).ok()))
            .collect();
        // Their scripts may work elsewhere, and are attached to later.
        for RunningOrder { key, current, .. } in self.journal.book(JournalState::running) {
            if let Some(id) = current.and_then(|(script, _)| Runs::id(&key, script).ok()) {
                self.scratch.keep(&id);
            }
        }
        for id in self.runs.list() {
            if self.runs.is_locked(&id) {
                self.scratch.keep(&id);
            } else if !is_open.contains(&id) {
                self.end_interrupted(&id);
                // The order may come again and need the name before the removal.
                self.scratch.remove_run(&self.runs.set_aside(&id).unwrap_or(id));
            }
        }
    }
}

impl Shared {
    /// Ends the processes of a script whose runner was killed and whose journal is lost.
    fn end_interrupted(&self, id: &str) {
        let Ok(RunState::Interrupted(claim)) = self.runs.dir(id).state() else { return };
        tracing::warn!(id, "ending the processes of a script without its runner");
        let cgroup = claim.and_then(|claim| claim.cgroup);
        for survivor in runner::kill_processes(id, cgroup.as_deref()) {
            tracing::error!(id, %survivor, "a process of a script survived the kill");
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an order panicked");
    }
}
