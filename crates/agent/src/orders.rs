//! Orders: taken in, kept waiting in a bounded queue, run a few at once, finished in the journal.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use proto::{
    ScriptOutcome,
    agent::{Order, OrderResult},
    limits::MAX_ORDERS_PER_AGENT,
    types::Script,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    event::{Event, Key, Record},
    execute::{self, Terms},
    journal::{Journal, blocking, scripts_dir},
};

#[cfg(test)]
mod tests;

/// How long the running scripts may take to be ended when the agent stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// For an order that names no timeout: the longest that the API allows.
const MAX_TIMEOUT: Duration = Duration::from_secs(600 * 60);

/// The side of the connection: takes orders in and gives results out.
#[derive(Debug)]
pub(crate) struct Orders {
    shared: Arc<Shared>,
    queue: mpsc::Sender<(Active, Order)>,
}

/// The side that runs them.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<(Active, Order)>,
    max_parallel: usize,
}

#[derive(Debug)]
struct Shared {
    journal: Arc<Journal>,
    desktop_id: String,
    scripts_dir: PathBuf,
    /// Orders that wait or run.
    active: Mutex<HashSet<Key>>,
    finished: Notify,
    stop: CancellationToken,
}

/// An order that waits or runs, until this is dropped.
#[derive(Debug)]
struct Active {
    shared: Arc<Shared>,
    key: Key,
}

impl Active {
    /// `None` when it waits or runs already.
    fn new(shared: &Arc<Shared>, key: &Key) -> Option<Self> {
        shared.active().insert(key.clone()).then(|| Self { shared: Arc::clone(shared), key: key.clone() })
    }
}

impl Active {
    /// Ends the order. It is no longer active when the connection hears of it, so that a duplicate that crosses
    /// the result is answered from the journal.
    async fn finish(self, results: Vec<Record>) {
        let shared = Arc::clone(&self.shared);
        shared.record(Event::Finished { key: self.key.clone(), results }).await;
        drop(self);
        shared.finished.notify_one();
    }

    /// Ends an order that must not start any more.
    async fn skip(self, script_count: usize) {
        let reason = "the task was halted before it started";
        let skipped = |script| Record::bare(script, ScriptOutcome::Skipped, reason, now_ms());
        self.finish((0..).take(script_count).map(skipped).collect()).await;
    }

    /// Ends an order of which nothing starts.
    async fn reject(self, script_count: usize, reason: &str) {
        let now = now_ms();
        let mut results = vec![Record::bare(0, ScriptOutcome::Rejected, reason, now)];
        results.extend((1..).take(script_count.saturating_sub(1)).map(|script| Record::skipped(script, now)));
        self.finish(results).await;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.shared.active().remove(&self.key);
    }
}

/// Both sides.
pub(crate) fn new(config: &Config, journal: Arc<Journal>, stop: CancellationToken) -> (Orders, Dispatcher) {
    let (sender, queue) = mpsc::channel(MAX_ORDERS_PER_AGENT);
    let shared = Arc::new(Shared {
        journal,
        desktop_id: config.desktop.desktop_id.clone(),
        scripts_dir: scripts_dir(&config.data_dir),
        active: Mutex::new(HashSet::new()),
        finished: Notify::new(),
        stop,
    });
    let dispatcher = Dispatcher { shared: Arc::clone(&shared), queue, max_parallel: config.max_parallel };
    (Orders { shared, queue: sender }, dispatcher)
}

impl Orders {
    /// Takes an order in. Returns its key when it was finished before and its result must be sent again.
    pub(crate) async fn accept(&self, mut order: Order) -> Option<Key> {
        let Some(key) = order.key.take().map(Key::from) else {
            tracing::error!("an order without a key is ignored");
            return None;
        };
        let Some(active) = Active::new(&self.shared, &key) else {
            tracing::info!(?key, "a duplicate of an order that waits or runs is ignored");
            return None;
        };
        if self.shared.known(&key).await {
            return Some(key);
        }
        if order.answer_only {
            active.skip(order.scripts.len().max(1)).await;
        } else if order.scripts.is_empty() {
            active.reject(1, "the order has no scripts").await;
        } else if let Err(refused) = self.queue.try_send((active, order)) {
            let (active, order) = refused.into_inner();
            active.reject(order.scripts.len(), "too many orders wait on this desktop").await;
        }
        None
    }

    /// The worker has stored the result.
    pub(crate) async fn acked(&self, key: Key) {
        let journal = Arc::clone(&self.shared.journal);
        blocking(move || journal.record(Event::Acked { key })).await;
    }

    /// Finished and not acknowledged orders with a number above `after`.
    pub(crate) async fn unacked_after(&self, after: u64) -> Vec<(u64, Key)> {
        let journal = Arc::clone(&self.shared.journal);
        blocking(move || journal.book(|book| book.unacked_after(after))).await
    }

    pub(crate) async fn result(&self, key: Key) -> Option<OrderResult> {
        let journal = Arc::clone(&self.shared.journal);
        blocking(move || journal.book(|book| book.result(&key))).await
    }

    /// Returns when an order may have finished since the last call.
    pub(crate) async fn finished(&self) {
        self.shared.finished.notified().await;
    }
}

impl Dispatcher {
    /// Runs orders until the agent is stopped, then waits for those that run to be ended.
    pub(crate) async fn run(mut self) {
        // Dropped with this future, and all that runs in it.
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                Some((active, order)) = self.queue.recv(), if running.len() < self.max_parallel => {
                    running.spawn(run_order(active, order));
                }
                Some(ended) = running.join_next() => log_panic(ended),
                else => break,
            }
        }
        let all_ended = async {
            while let Some(ended) = running.join_next().await {
                log_panic(ended);
            }
        };
        if timeout(STOP_GRACE, all_ended).await.is_err() {
            tracing::error!("not all scripts could be ended in time; the next start reports them as UNKNOWN");
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "running an order panicked");
    }
}

/// An order whose turn has come, to its end.
async fn run_order(active: Active, order: Order) {
    let now = now_ms();
    if order.deliver_by_unix_ms != 0 && order.deliver_by_unix_ms < now {
        let reason = "the delivery deadline passed before it could start";
        return active.reject(order.scripts.len(), reason).await;
    }
    let (shared, key) = (&active.shared, &active.key);
    let mut results: Vec<Record> = Vec::new();
    for (number, script) in (0..).zip(&order.scripts) {
        if results.last().is_some_and(|last| !last.succeeded()) {
            results.push(Record::skipped(number, now_ms()));
            continue;
        }
        // Written down only when another script follows: else the order's end says it all.
        if let Some(last) = results.last().cloned() {
            shared.record(Event::ScriptFinished { key: key.clone(), result: last }).await;
        }
        results.push(shared.run_script(key, &order, number, script).await);
    }
    active.finish(results).await;
}

impl Shared {
    fn active(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn record(&self, event: Event) {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.record(event)).await;
    }

    /// Whether the order, which neither waits nor runs, was finished before.
    async fn known(&self, key: &Key) -> bool {
        let (journal, key) = (Arc::clone(&self.journal), key.clone());
        blocking(move || {
            // Started and yet not running: what ran it has panicked.
            journal.end_interrupted(&key);
            journal.book(|book| book.is_finished(&key))
        })
        .await
    }

    async fn run_script(&self, key: &Key, order: &Order, number: u32, script: &Script) -> Record {
        let rejected = |reason: &str| Record::bare(number, ScriptOutcome::Rejected, reason, now_ms());
        if self.stop.is_cancelled() {
            return rejected("the agent was stopped before it started");
        }
        let (copy, dir) = (script.clone(), self.scripts_dir.clone());
        let prepared = match blocking(move || execute::prepare(&copy, &dir)).await {
            Ok(prepared) => prepared,
            Err(reason) => return rejected(&reason),
        };
        let started_at = now_ms();
        let script_count = u32::try_from(order.scripts.len()).unwrap_or(u32::MAX);
        let (journal, started) = (Arc::clone(&self.journal), key.clone());
        let written = blocking(move || journal.start(started, number, script_count, started_at)).await;
        if let Err(error) = written {
            return rejected(&format!("the journal cannot be written: {error}"));
        }
        match execute::execute(prepared, self.terms(key, order, number, script), &self.stop).await {
            Ok(ended) => Record {
                exit_code: ended.exit_code,
                started_at,
                output: ended.output,
                ..Record::bare(number, ended.outcome, &ended.reason, now_ms())
            },
            Err(reason) => rejected(&reason),
        }
    }

    fn terms(&self, key: &Key, order: &Order, number: u32, script: &Script) -> Terms {
        let timeout = u64::try_from(order.execution_timeout_ms).ok().filter(|ms| *ms > 0);
        Terms {
            mark: format!("{}-{}-{number}-{}", key.task, key.ordinal, key.attempt),
            env: vec![
                ("GRAYWAVE_TASK_ID", key.task.clone()),
                ("GRAYWAVE_DESKTOP_ID", self.desktop_id.clone()),
                ("GRAYWAVE_SCRIPT_ID", script.script_id.clone()),
                ("GRAYWAVE_WAVE", order.wave.to_string()),
                ("GRAYWAVE_ATTEMPT", key.attempt.to_string()),
            ],
            timeout: timeout.map_or(MAX_TIMEOUT, Duration::from_millis),
        }
    }
}

fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}
