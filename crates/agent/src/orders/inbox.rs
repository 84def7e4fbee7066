//! The side of the connection: orders come in, results go out.

use std::sync::Arc;

use proto::{
    ScriptOutcome,
    agent::{Order, OrderResult},
    limits::MAX_SCRIPTS_PER_TASK,
};

use super::{
    decision,
    queue::Queue,
    state::{Accepted, Active, Shared},
};
use crate::journal::{Event, Key, Span, blocking};

/// The side of the connection: takes orders in and gives results out.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
}

/// What the worker is to be told.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The result of a finished order.
    FromJournal(Key),
    /// That an order was not taken. Nothing keeps it: it says nothing of what may still come under its key.
    Refusal(OrderResult),
}

impl Orders {
    /// Takes an order in. Returns its key when it was finished before and its result must be sent again.
    pub(crate) async fn accept(&self, mut order: Order) -> Option<Key> {
        let Some(key) = order.key.take().map(Key::from) else {
            tracing::error!("an order without a key is ignored");
            return None;
        };
        let trace_context =
            Some(std::mem::take(&mut order.trace_context)).filter(|carried| !carried.is_empty());
        let Some(active) = Active::new(&self.shared, &key, trace_context) else {
            tracing::info!(?key, "a duplicate of an order that waits or runs is ignored");
            return None;
        };
        if self.shared.known(&key).await {
            return Some(key);
        }
        let span = match decision::span_of(&order) {
            Ok(span) => span,
            Err((span, reason)) => {
                active.reject(span, reason).await;
                return None;
            }
        };
        if let Some(script) = order.stop_script {
            active.stop.ask(script);
        }
        if active.stop.reaches(span.first) {
            active.stop_waiting(span).await;
        } else if order.query_only {
            active.skip(span).await;
        } else if self.shared.is_full().await {
            active.reject(span, "too many results of this desktop wait to be stored").await;
        } else if let Err(refused) = self.queue.push(Accepted { active, order, span }) {
            refused.active.reject(span, "too many orders wait on this desktop").await;
        }
        None
    }

    /// Refuses an order that may be of anybody. Nothing of it is believed and nothing written down: else who forges the order of
    /// a target to come would keep the real one from running. What the journal knows of its key is the answer; where it knows
    /// nothing, the worker alone is told that it was REJECTED.
    pub(crate) async fn refuse(&self, mut order: Order, reason: &str) -> Option<Answer> {
        let key = order.key.take().map(Key::from)?;
        tracing::warn!(?key, reason, "an order is refused");
        if self.shared.active().contains_key(&key) {
            return None;
        }
        if self.shared.known(&key).await {
            return Some(Answer::FromJournal(key));
        }
        let count = order.scripts.len().clamp(1, MAX_SCRIPTS_PER_TASK);
        let span = Span { first: 0, count: u32::try_from(count).unwrap_or(1) };
        let results = decision::nothing_runs(span, ScriptOutcome::Rejected, reason, self.shared.now_ms());
        let scripts = results.into_iter().map(Into::into).collect();
        Some(Answer::Refusal(OrderResult {
            key: Some(key.into()),
            scripts,
            trace_context: order.trace_context,
        }))
    }

    /// Stops an order from this script on. TimeSample again and again; what is not active has ended, or its order is still
    /// on its way and the stop will be told again.
    pub(crate) async fn stop(&self, key: &Key, script: u32) {
        let Some(stop) = self.shared.active().get(key).map(Arc::clone) else {
            tracing::debug!(?key, "a stop of an order that neither waits nor runs is ignored");
            return;
        };
        stop.ask(script);
        // What has left the queue by now looks at where it is to stop before it starts anything.
        let is_over = |waiting: &Accepted| {
            waiting.active.key == *key && waiting.active.stop.reaches(waiting.span.first)
        };
        if let Some(Accepted { active, span, .. }) = self.queue.take(is_over) {
            active.stop_waiting(span).await;
        }
    }

    /// The worker has stored the result.
    pub(crate) async fn acked(&self, key: Key) {
        self.shared.traces.forget(&key);
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
        let trace_context = self.shared.traces.of(&key).unwrap_or_default();
        let result = blocking(move || journal.book(|book| book.result(&key))).await?;
        Some(OrderResult { trace_context, ..result })
    }

    /// What is to be sent.
    pub(crate) async fn result_of(&self, answer: Answer) -> Option<OrderResult> {
        match answer {
            Answer::FromJournal(key) => self.result(key).await,
            Answer::Refusal(result) => Some(result),
        }
    }

    /// Returns when an order may have finished since the last call.
    pub(crate) async fn finished(&self) {
        self.shared.finished.notified().await;
    }
}
