//! Execution of one order.

use std::{sync::Arc, time::Duration};

use proto::{ScriptOutcome, agent::Order, types::Script};
use telemetry::trace;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{
    decision::{self, STOPPED_BEFORE, Turn},
    state::{Accepted, Active, Shared},
};
use crate::{
    execution::{self, Halt, Terms},
    journal::{Event, Key, Record, Span, blocking},
};

/// Maximum wait for the removal of a working directory: after its script, and when the agent stops.
pub(super) const REMOVAL_GRACE: Duration = Duration::from_secs(2);
/// Timeout of an order without one: the maximum that the API allows.
const MAX_TIMEOUT: Duration = Duration::from_secs(600 * 60);

/// Runs an order to its end.
pub(super) async fn run_order(accepted: Accepted) {
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
    // A late start is a failure; a stop is not.
    if is_late && !active.stop.reaches(span.first) {
        return active.reject(span, "the delivery deadline passed before it could start").await;
    }
    let mut results: Vec<Record> = Vec::new();
    for (number, script) in (0..).zip(&order.scripts) {
        let result = match decision::turn(
            number,
            span,
            results.last(),
            active.stop.from(),
            active.shared.now_ms(),
        ) {
            Turn::Ends(result) => result,
            Turn::Run => {
                // Recorded only if another script follows; otherwise the finish event says it.
                // Scripts done by an earlier task are part of the start event.
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
        let mut prepared = match blocking(move || execution::prepare(&copy, &scratch)).await {
            Ok(prepared) => prepared,
            Err(reason) => return rejected(&reason),
        };
        let removed = prepared.removed();
        let started_at = shared.now_ms();
        let (journal, started) = (Arc::clone(&shared.journal), key.clone());
        let written = blocking(move || journal.start(started, number, span, started_at)).await;
        if let Err(error) = written {
            return rejected(&format!("writing the journal failed: {error}"));
        }
        // A stop may have arrived during the disk write.
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
        let record = match execution::execute(prepared, terms, halt, &shared.drains).await {
            Ok(ended) => Record {
                exit_code: ended.exit_code,
                started_at,
                output: ended.output,
                ..Record::bare(number, ended.outcome, &ended.reason, shared.now_ms())
            },
            Err(reason) => rejected(&reason),
        };
        // The script may have filled the disk, which the next script and the journal need.
        tokio::select! {
            _ = timeout(REMOVAL_GRACE, removed) => {}
            // The dispatcher then waits for the removal.
            () = shared.stop.cancelled() => {}
        }
        record
    }
}

impl Shared {
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
