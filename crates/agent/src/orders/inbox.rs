//! Connection side of orders: accepts orders and returns results.

use std::sync::Arc;

use proto::{
    ScriptOutcome,
    agent::{Order, OrderResult, OrderReturn, OutputChunk, attach_request::Message},
    limits::MAX_SCRIPTS_PER_TASK,
};
use runner::RunDir;
use tokio_util::sync::CancellationToken;

use super::{
    decision::{self, GOES_DOWN, LATE},
    queue::Queue,
    reboot::Permission,
    state::{Accepted, Active, Shared, Standing},
};
use crate::{
    blocking::blocking,
    execution::Runs,
    journal::{Event, Key, Span},
};

/// Accepts orders and returns results.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
}

/// Answer to the worker.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// Result of a finished order, from the journal.
    FromJournal(Key),
    /// Refusal of an order. It is not journaled and does not block a later order with the same key.
    Refusal(OrderResult),
    /// Order that is given back.
    Return(OrderReturn),
    /// Output of a running script.
    Output(OutputChunk),
}

impl Orders {
    /// Ends all running scripts when cancelled.
    pub(crate) fn end_scripts(&self) -> CancellationToken {
        self.shared.end_scripts.clone()
    }

    /// Stops all queued and running orders: the control plane refuses this desktop.
    pub(crate) fn stop_all(&self) {
        let active = self.shared.active();
        if !active.is_empty() {
            tracing::warn!(
                orders = active.len(),
                "stopping all scripts: the control plane refuses this desktop"
            );
        }
        active.values().for_each(|stop| stop.ask(0));
    }

    /// Accepts an order. Returns its key if it had finished before and its result must be sent
    /// again.
    pub(crate) async fn accept(&self, mut order: Order) -> Option<Key> {
        let Some(key) = order.key.take().map(Key::from) else {
            tracing::error!("order ignored: it has no key");
            return None;
        };
        let trace_context =
            Some(std::mem::take(&mut order.trace_context)).filter(|carried| !carried.is_empty());
        let Some(active) = Active::new(&self.shared, &key, trace_context) else {
            tracing::info!(?key, "duplicate order ignored: it is queued or running");
            return None;
        };
        if let Some(script) = order.stop_script {
            active.stop.ask(script);
        }
        match self.shared.standing(&key).await {
            Standing::Unknown => {}
            Standing::Finished | Standing::Paused => return Some(key),
            Standing::Rebooted(recovered) if order.query_only => {
                // The task was halted meanwhile.
                drop(active);
                self.shared.end_pause(recovered, self.shared.now_ms()).await;
                return None;
            }
            Standing::Running(recovered) | Standing::Rebooted(recovered) => {
                let span = recovered.span;
                if self.queue.push(Accepted { active, order, span, recovered: Some(recovered) }).is_err() {
                    tracing::warn!("the queue is full; a later order continues a script of an earlier agent");
                }
                return None;
            }
        }
        let span = match decision::span_of(&order) {
            Ok(span) => span,
            Err((span, reason)) => {
                active.reject(span, reason).await;
                return None;
            }
        };
        if active.stop.reaches(span.first) {
            active.stop_waiting(span).await;
        } else if order.query_only {
            active.skip(span).await;
        } else {
            self.enqueue(Accepted { active, order, span, recovered: None }).await;
        }
        None
    }

    /// Queues an order. An order that the desktop has no room for is given back. An order that
    /// arrives after its deadline is rejected: it was delivered late.
    async fn enqueue(&self, accepted: Accepted) {
        if let Err(reason) = Permission::of(&accepted.order, self.shared.boot_id.as_deref()) {
            let Accepted { active, span, .. } = accepted;
            return active.reject(span, &reason).await;
        }
        if accepted.is_late(self.shared.now_ms()) {
            let Accepted { active, span, .. } = accepted;
            active.reject(span, LATE).await;
        } else if self.shared.is_full().await {
            accepted.active.give_back("too many results of this desktop are unacknowledged", true);
        } else {
            let retried = accepted.order.retried_task_ids.clone();
            if let Err(refused) = self.queue.push(accepted) {
                let reason = match self.queue.is_closed() {
                    true => GOES_DOWN,
                    false => "too many orders are queued on this desktop",
                };
                refused.active.give_back(reason, true);
            } else {
                self.stop_earlier(&retried).await;
            }
        }
    }

    /// Stops the earlier attempts of a retry. They may hold the only place that the retry waits
    /// for.
    async fn stop_earlier(&self, retried: &[String]) {
        for stop in self.shared.active_of(retried) {
            stop.ask_for_retry();
        }
        while let Some(Accepted { active, span, .. }) =
            self.queue.take(|waiting| retried.contains(&waiting.active.key.task) && is_over(waiting))
        {
            active.stop_waiting(span).await;
        }
    }

    /// Takes the orders to give back to the worker.
    pub(crate) fn take_returns(&self) -> Vec<OrderReturn> {
        std::mem::take(&mut self.shared.returns())
    }

    /// Whether an order is queued or running.
    pub(crate) fn is_active(&self) -> bool {
        !self.shared.active().is_empty()
    }

    /// Returns [`Self::is_active`] as a function of its own.
    pub(crate) fn activity(&self) -> impl Fn() -> bool + use<> {
        let shared = Arc::clone(&self.shared);
        move || !shared.active().is_empty()
    }

    /// Run directory of a script of an active order; `None` if the order is not active.
    pub(crate) fn run_dir(&self, key: &Key, script: u32) -> Option<RunDir> {
        let is_active = self.shared.active().contains_key(key);
        let id = Runs::id(key, script).ok().filter(|_| is_active)?;
        Some(self.shared.runs.dir(&id))
    }

    /// Scripts that run and have started before this time, with their start times; both in Unix
    /// milliseconds.
    pub(crate) async fn started_before(&self, ms: i64) -> Vec<(Key, u32, i64)> {
        let active: Vec<Key> = self.shared.active().keys().cloned().collect();
        let journal = Arc::clone(&self.shared.journal);
        let started = blocking(move || {
            journal.book(|book| {
                let started = active.into_iter().filter_map(|key| {
                    let (script, at) = book.running_script(&key)?;
                    Some((key, script, at))
                });
                started.collect::<Vec<_>>()
            })
        });
        started.await.into_iter().filter(|(_, _, at)| *at < ms).collect()
    }

    /// Refuses an unverified order. None of its fields is trusted or journaled; otherwise a forged
    /// order for a future target would block the real one. A known key is answered from the
    /// journal; for an unknown key the worker receives REJECTED.
    pub(crate) async fn refuse(&self, mut order: Order, reason: &str) -> Option<Answer> {
        let key = order.key.take().map(Key::from)?;
        tracing::warn!(?key, reason, "order refused");
        if self.shared.active().contains_key(&key) {
            return None;
        }
        match self.shared.standing(&key).await {
            Standing::Finished => return Some(Answer::FromJournal(key)),
            // Its script may still run, and ends with a result of its own.
            Standing::Running(_) | Standing::Paused | Standing::Rebooted(_) => return None,
            Standing::Unknown => {}
        }
        let count = order.scripts.len().clamp(1, MAX_SCRIPTS_PER_TASK);
        let span = Span { first: 0, count: u32::try_from(count).unwrap_or(1) };
        let results = decision::nothing_runs(span, ScriptOutcome::Rejected, reason, self.shared.now_ms());
        let scripts = results.into_iter().map(Into::into).collect();
        Some(Answer::Refusal(OrderResult {
            key: Some(key.into()),
            scripts,
            trace_context: order.trace_context,
            ..OrderResult::default()
        }))
    }

    /// Stops an order from this script on. Stops repeat; an inactive order has ended, or its order
    /// is still in transit and the stop will be repeated.
    pub(crate) async fn stop(&self, key: &Key, script: u32) {
        let Some(stop) = self.shared.active().get(key).map(Arc::clone) else {
            tracing::debug!(?key, "stop ignored: the order is neither queued nor running");
            return;
        };
        stop.ask(script);
        // An order that has left the queue checks its stop position before each start.
        let is_over = |waiting: &Accepted| waiting.active.key == *key && is_over(waiting);
        if let Some(Accepted { active, span, .. }) = self.queue.take(is_over) {
            active.stop_waiting(span).await;
        }
    }

    /// Records that the worker has stored the result with this number of scripts; 0 is any number.
    /// A late acknowledgement of the scripts before a reboot does not confirm the remaining ones.
    pub(crate) async fn acked(&self, key: Key, scripts: u32) {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            if scripts != 0 && shared.journal.book(|book| book.result_count(&key)) != Some(scripts) {
                return;
            }
            shared.traces.forget(&key);
            let script_count = shared.journal.book(|book| book.script_count(&key));
            shared.journal.record(Event::Acked { key: key.clone() });
            shared.remove_runs(&key, script_count);
        })
        .await;
        self.shared.action_due.notify_one();
    }

    /// Finished and unacknowledged orders with a number above `after`.
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

    /// Message to send for an answer.
    pub(crate) async fn message_of(&self, answer: Answer) -> Option<Message> {
        match answer {
            Answer::FromJournal(key) => self.result(key).await.map(Message::Result),
            Answer::Refusal(result) => Some(Message::Result(result)),
            Answer::Return(returned) => Some(Message::OrderReturn(returned)),
            Answer::Output(chunk) => Some(Message::OutputChunk(chunk)),
        }
    }

    /// Returns when an order may have finished, or is to be given back, since the last call.
    pub(crate) async fn finished(&self) {
        self.shared.finished.notified().await;
    }
}

/// Whether a queued order ends without a start.
fn is_over(waiting: &Accepted) -> bool {
    waiting.recovered.is_none() && waiting.active.stop.reaches(waiting.span.first)
}
