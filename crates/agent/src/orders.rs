//! Orders: taken in, kept waiting in a bounded queue, run a few at once, stopped, finished in the journal.

mod queue;
mod rules;
mod stop_point;
mod traces;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Clock;
use proto::{
    ScriptOutcome,
    agent::{Order, OrderResult},
    limits::MAX_SCRIPTS_PER_TASK,
    types::Script,
};
use telemetry::trace;
use tokio::{sync::Notify, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    Config,
    book::Book,
    drains::Drains,
    event::{Event, Key, Record, Span},
    execute::{self, Halt, Terms},
    journal::{Journal, blocking},
    scratch::Scratch,
};
use queue::Queue;
use rules::{STOPPED_BEFORE, Turn};
use stop_point::StopPoint;
use traces::Traces;

#[cfg(test)]
mod tests;

/// How long the running scripts may take to be ended when the agent stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Longest wait for the removal of a working directory: after its script, and when the agent stops.
const REMOVAL_GRACE: Duration = Duration::from_secs(2);
/// Results that wait to be acknowledged. Beyond them no order is taken: the disk of a desktop is not ours to fill.
const MAX_UNACKED_BYTES: usize = 64 << 20;
/// For an order that names no timeout: the longest that the API allows.
const MAX_TIMEOUT: Duration = Duration::from_secs(600 * 60);

/// The side of the connection: takes orders in and gives results out.
#[derive(Debug)]
pub(crate) struct Orders {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

/// What the worker is to be told.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The result of a finished order.
    FromJournal(Key),
    /// That an order was not taken. Nothing keeps it: it says nothing of what may still come under its key.
    Refusal(OrderResult),
}

/// The side that runs them.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    max_parallel: usize,
}

#[derive(Debug)]
struct Shared {
    journal: Arc<Journal>,
    clock: Clock,
    desktop_id: String,
    scratch: Arc<Scratch>,
    drains: Drains,
    /// Orders that wait or run, and where they are to stop.
    active: Mutex<HashMap<Key, Arc<StopPoint>>>,
    traces: Traces,
    finished: Notify,
    stop: CancellationToken,
}

/// An order that waits or runs, until this is dropped.
#[derive(Debug)]
struct Active {
    shared: Arc<Shared>,
    key: Key,
    stop: Arc<StopPoint>,
    /// The trace that it is a part of, where that is sampled.
    trace_context: Option<String>,
}

/// An order that waits or runs, and what it says.
#[derive(Debug)]
struct Accepted {
    active: Active,
    order: Order,
    span: Span,
}

impl Active {
    /// `None` when it waits or runs already.
    fn new(shared: &Arc<Shared>, key: &Key, trace_context: Option<String>) -> Option<Self> {
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
    async fn finish(mut self, results: Vec<Record>) {
        let shared = Arc::clone(&self.shared);
        if let Some(trace_context) = self.trace_context.take() {
            shared.traces.keep(self.key.clone(), trace_context);
        }
        shared.record(Event::Finished { key: self.key.clone(), results }).await;
        drop(self);
        shared.finished.notify_one();
    }

    /// Ends an order that must not start any more.
    async fn skip(self, span: Span) {
        let results = rules::halted(span, self.shared.now_ms());
        self.finish(results).await;
    }

    /// Ends an order of which nothing starts.
    async fn reject(self, span: Span, reason: &str) {
        let results = rules::nothing_runs(span, ScriptOutcome::Rejected, reason, self.shared.now_ms());
        self.finish(results).await;
    }

    /// Ends an order that was stopped before its turn came.
    async fn stop_waiting(self, span: Span) {
        let now = self.shared.now_ms();
        let results = rules::nothing_runs(span, ScriptOutcome::Stopped, STOPPED_BEFORE, now);
        self.finish(results).await;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.shared.active().remove(&self.key);
    }
}

/// Both sides.
pub(crate) fn new(
    config: &Config,
    journal: Arc<Journal>,
    clock: Clock,
    stop: CancellationToken,
) -> (Orders, Dispatcher) {
    let queue = Arc::new(Queue::default());
    let shared = Arc::new(Shared {
        journal,
        clock,
        desktop_id: config.desktop.desktop_id.clone(),
        scratch: Scratch::new(&config.data_dir),
        drains: Drains::default(),
        active: Mutex::new(HashMap::new()),
        traces: Traces::default(),
        finished: Notify::new(),
        stop,
    });
    let dispatcher = Dispatcher {
        shared: Arc::clone(&shared),
        queue: Arc::clone(&queue),
        max_parallel: config.max_parallel,
    };
    (Orders { shared, queue }, dispatcher)
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
        let span = match rules::span_of(&order) {
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
        } else if order.answer_only {
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
        let results = rules::nothing_runs(span, ScriptOutcome::Rejected, reason, self.shared.now_ms());
        let scripts = results.into_iter().map(Into::into).collect();
        Some(Answer::Refusal(OrderResult {
            key: Some(key.into()),
            scripts,
            trace_context: order.trace_context,
        }))
    }

    /// Stops an order from this script on. Told again and again; what is not active has ended, or its order is still
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

impl Dispatcher {
    /// Runs orders until the agent is stopped, then waits for those that run to be ended, and for the removal of their
    /// working directories.
    pub(crate) async fn run(self) {
        let _sweep = self.shared.scratch.remove_leftovers();
        // Dropped with this future, and all that runs in it.
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
            tracing::error!("not all scripts could be ended in time; the next start reports them as UNKNOWN");
        }
        if timeout(REMOVAL_GRACE, self.shared.scratch.idle()).await.is_err() {
            tracing::info!(
                "not all working directories could be removed in time; the next start removes them"
            );
        }
    }
}

impl Dispatcher {
    /// Orders that run at once at most while this one does.
    fn most(&self, order: &Order) -> usize {
        let asked = order.max_running.map_or(usize::MAX, |most| most.max(1) as usize);
        self.max_parallel.min(asked)
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "running an order panicked");
    }
}

/// An order whose turn has come, to its end.
async fn run_order(accepted: Accepted) {
    let Accepted { mut active, order, span } = accepted;
    let of_order = trace::child(active.trace_context.as_deref(), || {
        let Key { task, ordinal, attempt } = &active.key;
        let desktop_id = &active.shared.desktop_id;
        tracing::info_span!(
            target: trace::TARGET, parent: None, "order", task_id = task, ordinal, attempt, desktop_id
        )
    });
    active.trace_context = trace::carry(&of_order, active.trace_context.as_deref());
    run_traced(Accepted { active, order, span }).instrument(of_order).await;
}

async fn run_traced(accepted: Accepted) {
    let Accepted { active, order, span } = accepted;
    let is_late = order.deliver_by_unix_ms != 0 && order.deliver_by_unix_ms < active.shared.now_ms();
    // To be late is a failure, to be stopped is none.
    if is_late && !active.stop.reaches(span.first) {
        return active.reject(span, "the delivery deadline passed before it could start").await;
    }
    let mut results: Vec<Record> = Vec::new();
    for (number, script) in (0..).zip(&order.scripts) {
        let result = match rules::turn(
            number,
            span,
            results.last(),
            active.stop.from(),
            active.shared.now_ms(),
        ) {
            Turn::Ends(result) => result,
            Turn::Run => {
                // Written down only when another script follows: else the order's end says it all. Of those that an
                // earlier task has done the start says it.
                if let Some(last) = results.last().filter(|last| last.script >= span.first) {
                    let (key, result) = (active.key.clone(), last.clone());
                    active.shared.record(Event::ScriptFinished { key, result }).await;
                }
                let of_script = trace::below(|| {
                    tracing::info_span!(
                        target: trace::TARGET, "script",
                        script = number, outcome = tracing::field::Empty, exit_code = tracing::field::Empty
                    )
                });
                let running = active.run_script(&order, span, number, script);
                let result = running.instrument(of_script.clone()).await;
                of_script.record("outcome", result.outcome.as_str()).record("exit_code", result.exit_code);
                result
            }
        };
        results.push(result);
    }
    active.finish(results).await;
}

impl Active {
    async fn run_script(&self, order: &Order, span: Span, number: u32, script: &Script) -> Record {
        let (shared, key) = (&self.shared, &self.key);
        let without_start = |outcome, reason: &str| Record::bare(number, outcome, reason, shared.now_ms());
        let rejected = |reason: &str| without_start(ScriptOutcome::Rejected, reason);
        if shared.stop.is_cancelled() {
            return rejected("the agent was stopped before it started");
        }
        let (copy, scratch) = (script.clone(), Arc::clone(&shared.scratch));
        let mut prepared = match blocking(move || execute::prepare(&copy, &scratch)).await {
            Ok(prepared) => prepared,
            Err(reason) => return rejected(&reason),
        };
        let removed = prepared.removed();
        let started_at = shared.now_ms();
        let (journal, started) = (Arc::clone(&shared.journal), key.clone());
        let written = blocking(move || journal.start(started, number, span, started_at)).await;
        if let Err(error) = written {
            return rejected(&format!("the journal cannot be written: {error}"));
        }
        // The disk may have taken its time.
        if self.stop.reaches(number) {
            return without_start(ScriptOutcome::Stopped, STOPPED_BEFORE);
        }
        let halt = async {
            tokio::select! {
                () = shared.stop.cancelled() => Halt::Agent,
                () = self.stop.reached(number) => Halt::Request,
            }
        };
        let terms = shared.terms(key, order, number, script);
        let record = match execute::execute(prepared, terms, halt, &shared.drains).await {
            Ok(ended) => Record {
                exit_code: ended.exit_code,
                started_at,
                output: ended.output,
                ..Record::bare(number, ended.outcome, &ended.reason, shared.now_ms())
            },
            Err(reason) => rejected(&reason),
        };
        // The script may have filled the disk, which the next one and the journal need.
        tokio::select! {
            _ = timeout(REMOVAL_GRACE, removed) => {}
            // The dispatcher waits then.
            () = shared.stop.cancelled() => {}
        }
        record
    }
}

impl Shared {
    /// The control plane's time, in Unix milliseconds.
    fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    fn active(&self) -> MutexGuard<'_, HashMap<Key, Arc<StopPoint>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn record(&self, event: Event) {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.record(event)).await;
    }

    /// Whether results wait in the journal as much as they may.
    async fn is_full(&self) -> bool {
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.book(Book::unacked_bytes)).await > MAX_UNACKED_BYTES
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
            success_exit_codes: order.success_exit_codes.clone(),
        }
    }
}
