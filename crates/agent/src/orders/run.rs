//! Execution of one order.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use proto::{ScriptOutcome, agent::Order, parameter_variable, types::Script};
use telemetry::trace;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{
    decision::{self, LATE, NEVER_STARTED, Turn},
    earlier::Earlier,
    reboot::Permission,
    state::{Accepted, Active, Shared, is_late},
};
use crate::{
    blocking::blocking,
    execution::{self, AgentStop, Finish, Runs, Supervised, Terms},
    journal::{Event, Key, Record, RunFacts, RunningOrder, Span},
};

/// Maximum wait for the removal of a working directory: after its script, and when the agent stops.
pub(super) const REMOVAL_GRACE: Duration = Duration::from_secs(2);
/// Timeout of an order without one: the maximum that the API allows.
const MAX_TIMEOUT: Duration = Duration::from_secs(600 * 60);

/// Runs an order to its end, or until the agent stops.
pub(super) async fn run_order(accepted: Accepted) {
    let Accepted { mut active, order, span, recovered } = accepted;
    let of_order = trace::child(active.trace_context.as_deref(), || {
        let Key { task, ordinal, attempt } = &active.key;
        let desktop_id = &active.shared.desktop_id;
        tracing::info_span!(
            target: trace::TARGET, parent: None, "order", task_id = task, ordinal, attempt, desktop_id
        )
    });
    active.trace_context = trace::carry(&of_order, active.trace_context.as_deref());
    run_traced(Accepted { active, order, span, recovered }).instrument(of_order).await;
}

async fn run_traced(accepted: Accepted) {
    let Accepted { active, mut order, span, recovered } = accepted;
    let mut results: Vec<Record> = Vec::new();
    if let Some(recovered) = recovered {
        match active.recover(&mut order, recovered).await {
            Recovery::Known(known) => results = known,
            Recovery::NothingStarted => return active.give_back(NEVER_STARTED, false),
            Recovery::AgentStops => return,
        }
    } else {
        match active.end_earlier(&order.retried_task_ids, span.first).await {
            Earlier::Ended => {}
            Earlier::Remains(reason) => return active.give_back(&reason, false),
            Earlier::AgentStops => return,
        }
        if is_late(&order, active.shared.now_ms()) && !active.stop.reaches(span.first) {
            return active.give_back(LATE, false);
        }
    }
    // An order of an earlier agent had a valid permission when it began.
    let permission = Permission::of(&order, active.shared.boot_id.as_deref()).ok().flatten();
    for (number, script) in (0..).zip(&order.scripts).skip(results.len()) {
        let now = active.shared.now_ms();
        let result = match decision::turn(number, span, results.last(), active.stop.position(), now) {
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
                let running = Box::pin(active.run_script(&order, span, number, script));
                // The agent stops: a later one goes on with the order.
                let Some(result) = running.instrument(of_script.clone()).await else { return };
                of_script.record("outcome", result.outcome.as_str()).record("exit_code", result.exit_code);
                result
            }
        };
        let now = active.shared.now_ms();
        let reboot = permission.as_ref().and_then(|permission| permission.after_script(&result, now));
        results.push(result);
        let remain = number + 1 < span.count && !active.stop.reaches(number + 1);
        if let Some(action) = reboot.filter(|_| remain) {
            return active.pause(span, results, action).await;
        }
    }
    results.extend(decision::abandoned(span, &results, active.shared.now_ms()));
    let now = active.shared.now_ms();
    let action = permission.and_then(|permission| permission.after_order(span, &results, now));
    active.finish_with(results, action).await;
}

impl Active {
    /// Runs a script; `None` if the agent stops before its end.
    async fn run_script(&self, order: &Order, span: Span, number: u32, script: &Script) -> Option<Record> {
        let (shared, key) = (&self.shared, &self.key);
        let without_start =
            |outcome, reason: &str| Some(Record::bare(number, outcome, reason, shared.now_ms()));
        let rejected = |reason: &str| without_start(ScriptOutcome::Rejected, reason);
        if shared.stop.is_cancelled() {
            return None;
        }
        let terms = match shared.terms(key, order, number, script) {
            Ok(terms) => terms,
            Err(reason) => return rejected(&reason),
        };
        let (copy, encoded, scratch, runs) =
            (script.clone(), order.encode_to_vec(), Arc::clone(&shared.scratch), shared.runs.clone());
        let prepared = blocking(move || execution::prepare(&copy, &encoded, terms, &scratch, &runs)).await;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => return rejected(&reason),
        };
        let interpreter = prepared.interpreter().to_owned();
        let started_at = shared.now_ms();
        let (journal, started) = (Arc::clone(&shared.journal), key.clone());
        let written = blocking(move || journal.start(started, number, span, started_at)).await;
        if let Err(error) = written {
            return rejected(&format!("writing the journal failed: {error}"));
        }
        // A stop may have arrived during the disk write.
        if self.stop.reaches(number) {
            return without_start(ScriptOutcome::Stopped, self.stop.cause().before_start());
        }
        let program = shared.runner.clone();
        let mut supervised = match blocking(move || execution::launch(prepared, &program)).await {
            Ok(supervised) => supervised,
            Err(reason) => return rejected(&reason),
        };
        let finish = self.watch(&mut supervised, number).await;
        self.conclude(finish, supervised, order, number, interpreter, started_at).await
    }

    /// Waits for the end of a script, or until the agent stops.
    async fn watch(&self, supervised: &mut Supervised, number: u32) -> Finish {
        Box::pin(supervised.finish(self.stop.reached(number), self.shared.agent_stops())).await
    }

    /// Record of a script, once what it used is removed; `None` if the agent stops.
    async fn conclude(
        &self,
        finish: Finish,
        supervised: Supervised,
        order: &Order,
        number: u32,
        interpreter: String,
        started_at: i64,
    ) -> Option<Record> {
        let shared = &self.shared;
        let mut has_left_processes = false;
        let record = match finish {
            Finish::Detached => return None,
            Finish::Ended(ended) => {
                has_left_processes = ended.left_processes_count > 0;
                let (timeout, codes) = (timeout_of(order), &order.success_exit_codes);
                let stop_cause = self.stop.cause();
                execution::judge(number, *ended, interpreter, timeout, codes, started_at, stop_cause)
            }
            Finish::NeverStarted(cause) => {
                let reason = format!("starting the script failed: {cause}");
                Record::bare(number, ScriptOutcome::Rejected, &reason, shared.now_ms())
            }
            Finish::Lost { cause, survivors } => {
                let mut reason = format!("{cause} while it ran");
                execution::append_survivors(&mut reason, &survivors);
                let facts = RunFacts {
                    interpreter,
                    signal: None,
                    containment: String::new(),
                    left_processes_count: u32::try_from(survivors.len()).unwrap_or(u32::MAX),
                    left_processes: survivors.into_iter().take(runner::MAX_LEFT_PROCESSES).collect(),
                };
                Record {
                    started_at,
                    run: Some(Box::new(facts)),
                    ..Record::bare(number, ScriptOutcome::Unknown, &reason, shared.now_ms())
                }
            }
        };
        let gone =
            shared.leaving.spawn(Arc::clone(shared).remove_when_gone(self.key.clone(), number, supervised));
        if !has_left_processes {
            // The script may have filled the disk, which the next script and the journal need.
            tokio::select! {
                _ = timeout(REMOVAL_GRACE, gone) => {}
                // The dispatcher then waits for the removal.
                () = shared.stop.cancelled() => {}
            }
        }
        Some(record)
    }

    /// Attaches to an order that an earlier agent began. Reads the order from disk if it is not
    /// given.
    async fn recover(&self, order: &mut Order, recovered: RunningOrder) -> Recovery {
        let RunningOrder { span, finished, current, .. } = recovered;
        if order.scripts.is_empty() {
            let (runs, key) = (self.shared.runs.clone(), self.key.clone());
            if let Some(found) = blocking(move || order_on_disk(&runs, &key, span)).await {
                *order = found;
            }
        }
        let now = self.shared.now_ms();
        let mut results: Vec<Record> = (0..span.first).map(|script| Record::carried(script, now)).collect();
        results.extend(finished);
        if let Some((script, started_at)) = current {
            tracing::info!(key = ?self.key, script, "attaching to a script of an earlier agent");
            match self.recover_script(order, script, started_at).await {
                RecoveredScript::Ended(record) => results.push(record),
                // Only the control plane knows whether the order may still start.
                RecoveredScript::NeverStarted if script == span.first => return Recovery::NothingStarted,
                RecoveredScript::NeverStarted => {}
                RecoveredScript::AgentStops => return Recovery::AgentStops,
            }
        }
        Recovery::Known(results)
    }

    async fn recover_script(&self, order: &Order, script: u32, started_at: i64) -> RecoveredScript {
        let shared = &self.shared;
        let Ok(id) = Runs::id(&self.key, script) else {
            let reason = "the agent stopped while it ran";
            let record = Record::bare(script, ScriptOutcome::Unknown, reason, shared.now_ms());
            return RecoveredScript::Ended(Record { started_at, ..record });
        };
        let (scratch, runs) = (Arc::clone(&shared.scratch), shared.runs.clone());
        let found = blocking(move || {
            let (run_dir, work_dir) = (runs.dir(&id), scratch.open(&id));
            let interpreter = run_dir.read_spec().map(|spec| spec.program).unwrap_or_default();
            (Supervised::attach(id, run_dir, work_dir), interpreter)
        });
        let (mut supervised, interpreter) = found.await;
        let finish = self.watch(&mut supervised, script).await;
        if let Finish::NeverStarted(cause) = finish {
            tracing::warn!(key = ?self.key, script, cause, "the script of an earlier agent never started");
            self.take_back(script, supervised).await;
            return RecoveredScript::NeverStarted;
        }
        let concluded = self.conclude(finish, supervised, order, script, interpreter, started_at);
        Box::pin(concluded).await.map_or(RecoveredScript::AgentStops, RecoveredScript::Ended)
    }

    /// Takes back the start of a script whose run is void, so that the script can start in a new
    /// run. The journal comes first: without its run directory, a start is UNKNOWN.
    async fn take_back(&self, script: u32, supervised: Supervised) {
        self.shared.record(Event::NotStarted { key: self.key.clone(), script }).await;
        let shared = Arc::clone(&self.shared);
        blocking(move || supervised.set_aside(&shared.runs, &shared.scratch)).await;
    }
}

/// State of an order that an earlier agent began.
enum Recovery {
    /// Results up to the last started script.
    Known(Vec<Record>),
    /// Certainly no script has started, and the journal does not know the order any more.
    NothingStarted,
    /// The agent stops before the end of the script.
    AgentStops,
}

/// State of a script that an earlier agent began.
enum RecoveredScript {
    Ended(Record),
    /// The script certainly never started, and the journal has no start of it any more.
    NeverStarted,
    AgentStops,
}

impl Shared {
    /// Waits until a runner is gone and its working directory is removed. The run directory proves
    /// the result until the worker has stored it.
    async fn remove_when_gone(self: Arc<Self>, key: Key, script: u32, supervised: Supervised) {
        supervised.gone().await;
        if !self.journal.book(|book| book.is_open(&key))
            && let Ok(id) = Runs::id(&key, script)
        {
            self.scratch.remove_run(&id);
        }
    }

    /// Returns when the agent stops.
    pub(super) async fn agent_stops(&self) -> AgentStop {
        tokio::select! {
            // Both are cancelled if the agent stops at once.
            biased;
            () = self.end_scripts.cancelled() => AgentStop::EndScripts,
            () = self.stop.cancelled() => self.at_stop,
        }
    }

    fn terms(&self, key: &Key, order: &Order, number: u32, script: &Script) -> Result<Terms, String> {
        let user = Some(&order.run_as_user).filter(|name| !name.is_empty());
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let parameters = order.script_parameters.get(place).map_or(&[][..], |it| &it.values);
        let of_order = [
            ("GRAYWAVE_TASK_ID", key.task.clone()),
            (execution::DESKTOP_ID, self.desktop_id.clone()),
            ("GRAYWAVE_SCRIPT_ID", script.script_id.clone()),
            ("GRAYWAVE_WAVE", order.wave.to_string()),
            ("GRAYWAVE_ATTEMPT", key.attempt.to_string()),
        ];
        let of_order = of_order.map(|(name, value)| (name.to_owned(), value));
        let of_script = parameters.iter().map(|it| (parameter_variable(&it.name), it.value.clone()));
        Ok(Terms {
            id: Runs::id(key, number)?,
            env: of_order.into_iter().chain(of_script).collect(),
            timeout: timeout_of(order),
            run_as_user: user.or(self.run_as_user.as_ref()).cloned(),
            powershell: self.powershell.clone(),
            kill_left_processes: order.kill_left_processes,
        })
    }
}

fn timeout_of(order: &Order) -> Duration {
    let timeout_ms = u64::try_from(order.execution_timeout_ms).ok().filter(|ms| *ms > 0);
    timeout_ms.map_or(MAX_TIMEOUT, Duration::from_millis)
}

/// Order in the run directory of any of its scripts.
fn order_on_disk(runs: &Runs, key: &Key, span: Span) -> Option<Order> {
    (span.first..span.count).find_map(|script| Runs::order(&runs.dir(&Runs::id(key, script).ok()?)))
}
