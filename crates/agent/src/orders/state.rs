//! Orders that wait or run, as both sides see them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::{ScriptOutcome, agent::Order};
use time_sync::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    decision::{self, STOPPED_BEFORE},
    stop_point::StopPoint,
    traces::Traces,
};
use crate::{
    execution::Drains,
    journal::{Event, Journal, JournalState, Key, Record, Span, blocking},
    scratch::Scratch,
};

/// Results that wait to be acknowledged. Beyond them no order is taken: the disk of a desktop is not ours to fill.
pub(super) const MAX_UNACKED_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
    pub(super) desktop_id: String,
    pub(super) scratch: Arc<Scratch>,
    pub(super) drains: Drains,
    /// Orders that wait or run, and where they are to stop.
    pub(super) active: Mutex<HashMap<Key, Arc<StopPoint>>>,
    pub(super) traces: Traces,
    pub(super) finished: Notify,
    pub(super) stop: CancellationToken,
}

/// An order that waits or runs, until this is dropped.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) stop: Arc<StopPoint>,
    /// The trace that it is a part of, where that is sampled.
    pub(super) trace_context: Option<String>,
}

/// An order that waits or runs, and what it says.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) active: Active,
    pub(super) order: Order,
    pub(super) span: Span,
}

impl Active {
    /// `None` when it waits or runs already.
    pub(super) fn new(shared: &Arc<Shared>, key: &Key, trace_context: Option<String>) -> Option<Self> {
        let mut active = shared.active();
        let Entry::Vacant(place) = active.entry(key.clone()) else { return None };
        let stop = Arc::clone(place.insert(Arc::new(StopPoint::new())));
        drop(active);
        Some(Self { shared: Arc::clone(shared), key: key.clone(), stop, trace_context })
    }
}

impl Active {
    /// Ends the order. It is no longer active when the connection hears of it, so that a duplicate that crosses
    /// the result is answered from the journal.
    pub(super) async fn finish(mut self, results: Vec<Record>) {
        let shared = Arc::clone(&self.shared);
        if let Some(trace_context) = self.trace_context.take() {
            shared.traces.keep(self.key.clone(), trace_context);
        }
        shared.record(Event::Finished { key: self.key.clone(), results }).await;
        drop(self);
        shared.finished.notify_one();
    }

    /// Ends an order that must not start any more.
    pub(super) async fn skip(self, span: Span) {
        let results = decision::halted(span, self.shared.now_ms());
        self.finish(results).await;
    }

    /// Ends an order of which nothing starts.
    pub(super) async fn reject(self, span: Span, reason: &str) {
        let results = decision::nothing_runs(span, ScriptOutcome::Rejected, reason, self.shared.now_ms());
        self.finish(results).await;
    }

    /// Ends an order that was stopped before its turn came.
    pub(super) async fn stop_waiting(self, span: Span) {
        let now = self.shared.now_ms();
        let results = decision::nothing_runs(span, ScriptOutcome::Stopped, STOPPED_BEFORE, now);
        self.finish(results).await;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.shared.active().remove(&self.key);
    }
}

impl Shared {
    /// The control plane's time, in Unix milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    pub(super) fn active(&self) -> MutexGuard<'_, HashMap<Key, Arc<StopPoint>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn record(&self, event: Event) {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.record(event)).await;
    }

    /// Whether results wait in the journal as much as they may.
    pub(super) async fn is_full(&self) -> bool {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.book(JournalState::unacked_bytes)).await > MAX_UNACKED_BYTES
    }

    /// Whether the order, which neither waits nor runs, was finished before.
    pub(super) async fn known(&self, key: &Key) -> bool {
        let (journal, key) = (Arc::clone(&self.journal), key.clone());
        blocking(move || {
            // Started and yet not running: what ran it has panicked.
            journal.end_interrupted(&key);
            journal.book(|book| book.is_finished(&key))
        })
        .await
    }
}
