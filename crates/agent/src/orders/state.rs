//! State of queued and running orders, shared by both sides.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::{
    ScriptOutcome,
    agent::{Order, OrderReturn},
};
use time_sync::Clock;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{decision, stop_point::StopPoint, traces::Traces};
use crate::{
    blocking::blocking,
    execution::{AgentStop, RunnerProgram, Runs},
    journal::{Event, GoDown, Journal, JournalState, Key, Record, RunningOrder, Span},
    scratch::Scratch,
};

/// Maximum size of unacknowledged results. Above it orders are given back, so that the agent does
/// not fill the disk.
pub(super) const MAX_UNACKED_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
    pub(super) desktop_id: String,
    pub(super) scratch: Arc<Scratch>,
    pub(super) runs: Runs,
    pub(super) runner: RunnerProgram,
    /// User that runs scripts whose order names none; `None` for the agent's own.
    pub(super) run_as_user: Option<String>,
    /// Configured PowerShell.
    pub(super) powershell: Option<PathBuf>,
    /// Runners that drain output, and working directories that wait for them.
    pub(super) leaving: TaskTracker,
    /// Queued and running orders with their stop positions.
    pub(super) active: Mutex<HashMap<Key, Arc<StopPoint>>>,
    pub(super) traces: Traces,
    /// Orders to give back on the present connection.
    pub(super) returns: Mutex<Vec<OrderReturn>>,
    /// Notifies the connection of finished orders and of orders to give back.
    pub(super) finished: Notify,
    /// Id of the present boot; `None` if the desktop may not go down, or the id is unknown.
    pub(super) boot_id: Option<String>,
    /// Notifies the executor of reboots that an action may be due.
    pub(super) action_due: Notify,
    pub(super) stop: CancellationToken,
    /// What `stop` does to running scripts.
    pub(super) at_stop: AgentStop,
    /// Ends running scripts, with any `at_stop`.
    pub(super) end_scripts: CancellationToken,
}

/// Queued or running order, until this is dropped.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) stop: Arc<StopPoint>,
    /// Trace context of the order; `None` unless sampled.
    pub(super) trace_context: Option<String>,
}

/// Queued or running order with its content.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) active: Active,
    /// Without scripts if it is still to be read from disk.
    pub(super) order: Order,
    pub(super) span: Span,
    /// State from the journal, for an order that an earlier agent began.
    pub(super) recovered: Option<RunningOrder>,
}

/// What the journal knows of an order that is not active.
#[derive(Debug)]
pub(super) enum Standing {
    Unknown,
    /// An earlier agent began it, or its execution panicked.
    Running(RunningOrder),
    /// It waits for a reboot of the desktop, or for the acknowledgement before it.
    Paused,
    /// The desktop has rebooted: the remaining scripts may start.
    Rebooted(RunningOrder),
    Finished,
}

impl Accepted {
    /// Whether the order must not start any more at `now_ms`.
    pub(super) fn is_late(&self, now_ms: i64) -> bool {
        is_late(&self.order, now_ms)
    }

    /// Start deadline in Unix milliseconds; `None` without one.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        deadline_ms(&self.order)
    }
}

/// Whether an order must not start any more at `now_ms`.
pub(super) fn is_late(order: &Order, now_ms: i64) -> bool {
    deadline_ms(order).is_some_and(|deadline_ms| deadline_ms < now_ms)
}

fn deadline_ms(order: &Order) -> Option<i64> {
    Some(order.deliver_by_unix_ms).filter(|deadline_ms| *deadline_ms != 0)
}

impl Active {
    /// Registers an order; `None` if it is already queued or running.
    pub(super) fn new(shared: &Arc<Shared>, key: &Key, trace_context: Option<String>) -> Option<Self> {
        let mut active = shared.active();
        let Entry::Vacant(place) = active.entry(key.clone()) else { return None };
        let stop = Arc::clone(place.insert(Arc::new(StopPoint::new())));
        drop(active);
        Some(Self { shared: Arc::clone(shared), key: key.clone(), stop, trace_context })
    }
}

impl Active {
    /// Ends the order. It is no longer active when the connection is notified, so that a duplicate
    /// is answered from the journal.
    pub(super) async fn finish(self, results: Vec<Record>) {
        self.finish_with(results, None).await;
    }

    /// Ends the order; the desktop then goes down if the order asks for it.
    pub(super) async fn finish_with(mut self, results: Vec<Record>, action: Option<GoDown>) {
        let shared = Arc::clone(&self.shared);
        if let Some(trace_context) = self.trace_context.take() {
            shared.traces.keep(self.key.clone(), trace_context);
        }
        shared.record(Event::Finished { key: self.key.clone(), results, action }).await;
        drop(self);
        shared.finished.notify_one();
    }

    /// Pauses the order before its remaining scripts: the desktop reboots once the results are
    /// stored.
    pub(super) async fn pause(mut self, span: Span, results: Vec<Record>, action: GoDown) {
        let shared = Arc::clone(&self.shared);
        if let Some(trace_context) = self.trace_context.take() {
            shared.traces.keep(self.key.clone(), trace_context);
        }
        let (key, Span { first, count }) = (self.key.clone(), span);
        let paused = Event::Paused { key, script_count: count, first_script: first, results, action };
        shared.record(paused).await;
        drop(self);
        shared.finished.notify_one();
    }

    /// Ends an order that must not start.
    pub(super) async fn skip(self, span: Span) {
        let results = decision::halted(span, self.shared.now_ms());
        self.finish(results).await;
    }

    /// Rejects an order before any script starts.
    pub(super) async fn reject(self, span: Span, reason: &str) {
        let results = decision::nothing_runs(span, ScriptOutcome::Rejected, reason, self.shared.now_ms());
        self.finish(results).await;
    }

    /// Gives an order back that has not started. It is no longer active when the worker hears of
    /// it, so that the order may come again. With `is_full` the worker sends no more orders for
    /// now.
    pub(super) fn give_back(self, reason: &str, is_full: bool) {
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        tracing::info!(?key, reason, "order given back");
        drop(self);
        let returned =
            OrderReturn { key: Some(key.into()), reason: reason.to_owned(), is_full, authenticator: None };
        shared.returns().push(returned);
        shared.finished.notify_one();
    }

    /// Ends an order that was stopped in the queue.
    pub(super) async fn stop_waiting(self, span: Span) {
        let now = self.shared.now_ms();
        let reason = self.stop.cause().before_start();
        let results = decision::nothing_runs(span, ScriptOutcome::Stopped, reason, now);
        self.finish(results).await;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.shared.active().remove(&self.key);
    }
}

impl Shared {
    /// Control plane time in Unix milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    pub(super) fn active(&self) -> MutexGuard<'_, HashMap<Key, Arc<StopPoint>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn returns(&self) -> MutexGuard<'_, Vec<OrderReturn>> {
        self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn record(&self, event: Event) {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.record(event)).await;
    }

    /// Whether the unacknowledged results have reached their limit.
    pub(super) async fn is_full(&self) -> bool {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.book(JournalState::unacked_bytes)).await > MAX_UNACKED_BYTES
    }

    /// Ends a paused order without its remaining scripts.
    pub(super) async fn end_pause(&self, order: RunningOrder, now: i64) {
        let RunningOrder { key, span, finished, .. } = order;
        let mut results: Vec<Record> = (0..span.first).map(|script| Record::carried(script, now)).collect();
        results.extend(finished);
        results.extend(decision::not_continued(span, &results, now));
        self.record(Event::Finished { key, results, action: None }).await;
        self.finished.notify_one();
    }

    /// What the journal knows of an inactive order.
    pub(super) async fn standing(&self, key: &Key) -> Standing {
        let (journal, key, boot_id) = (Arc::clone(&self.journal), key.clone(), self.boot_id.clone());
        blocking(move || {
            journal.book(|book| match book.running_order(&key) {
                Some(running) if book.is_paused(&key) => {
                    let before = book.acked_pause(&key).map(|action| &action.boot_id);
                    let has_rebooted = before.is_some_and(|before| boot_id.is_some_and(|now| now != *before));
                    if has_rebooted { Standing::Rebooted(running) } else { Standing::Paused }
                }
                Some(running) => Standing::Running(running),
                None if book.is_finished(&key) => Standing::Finished,
                None => Standing::Unknown,
            })
        })
        .await
    }
}
