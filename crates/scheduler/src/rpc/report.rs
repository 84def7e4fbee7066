//! Reports: results, and targets that a worker returns.

use domain::{
    batching::StartedScript,
    ids::{BatchId, TaskId},
    limits,
    process::{self, LeftProcess, ProcessReport},
};
use engine::ScriptResult;
use proto::{
    scheduler::{DesktopKey, Refused, ReportRequest, ReportResponse, TargetResult},
    unix_ms_in_range,
};
use store::batch::StartedTarget;
use telemetry::metric;
use tonic::{Request, Response, Status};

use super::{
    authentic::{self, Judged, NotReported},
    context::Service,
    error::too_many,
    peer::called,
};
use crate::rollout::{ReturnedTarget, TargetReport};

/// Stores the results and returns. The response lists refused entries with their reasons.
pub(super) async fn handle(
    service: &Service,
    request: Request<ReportRequest>,
) -> Result<Response<ReportResponse>, Status> {
    let (caller, ReportRequest { worker_id, results, returned, started }) = called(request);
    if results.len() + returned.len() + started.len() > limits::MAX_RESULTS_PER_REPORT {
        return Err(too_many("results", limits::MAX_RESULTS_PER_REPORT));
    }
    let worker_id = caller.is(&worker_id)?;
    // A malformed entry must not block the remaining entries.
    let mut refused = Vec::new();
    let Judged { results, returned } = authentic::judge(service, results, returned).await?;
    let mut reports = Vec::with_capacity(results.len());
    for (verdict, result) in results {
        let of_result = refusal_of(&result);
        match verdict.and_then(|is_authentic| target_report(result, is_authentic)) {
            Ok(report) => reports.push(report),
            Err(NotReported { reason, unauthenticated }) => {
                refused.push(Refused { reason, unauthenticated, ..of_result });
            }
        }
    }
    metric::RESULTS_REFUSED.increment(refused.len() as u64, &[]);
    let mut returns = Vec::with_capacity(returned.len());
    for target in returned {
        let (task_id, ordinal) = (target.task_id.clone(), target.ordinal);
        match returned_target(target) {
            Ok(target) => returns.push(target),
            Err(error) => {
                let reason = error.to_string();
                refused.push(Refused { task_id, ordinal, reason, ..Refused::default() });
            }
        }
    }
    // A malformed one costs only the start time of a running record.
    let started: Vec<StartedTarget> = started.into_iter().filter_map(started_target).collect();
    if !started.is_empty() {
        service.done(service.scheduler.add_started(&worker_id, &started)).await?;
    }
    let answer =
        service.done(service.scheduler.report(&worker_id, reports, returns, service.scheduler.now())).await?;
    refused.extend(answer.refused.into_iter().map(|(task_id, ordinal, reason)| Refused {
        task_id: task_id.to_string(),
        ordinal,
        reason,
        ..Refused::default()
    }));
    for refused in &refused {
        tracing::warn!(
            %worker_id, task_id = refused.task_id, ordinal = refused.ordinal, reason = refused.reason,
            "result refused"
        );
    }
    Ok(Response::new(ReportResponse {
        stored: answer.stored,
        refused,
        failed_task_ids: answer.failed.iter().map(TaskId::to_string).collect(),
    }))
}

fn returned_target(target: proto::scheduler::ReturnedTarget) -> Result<ReturnedTarget, domain::Error> {
    Ok(ReturnedTarget {
        task_id: target.task_id.parse()?,
        batch_id: target.batch_id.parse()?,
        ordinal: target.ordinal,
        handed: target.handed,
        given_back: target.given_back,
        full: if target.is_full { Some(target.desktop_id.parse()?) } else { None },
    })
}

fn started_target(target: proto::scheduler::StartedTarget) -> Option<StartedTarget> {
    let at = unix_ms_in_range("started_at_unix_ms", target.started_at_unix_ms).ok()??;
    Some(StartedTarget {
        task_id: target.task_id.parse().ok()?,
        batch_id: target.batch_id.parse().ok()?,
        ordinal: target.ordinal,
        script: StartedScript { script: target.script.try_into().ok()?, at },
    })
}

fn refusal_of(result: &TargetResult) -> Refused {
    let (project_id, desktop_id) = (result.project_id.clone(), result.desktop_id.clone());
    Refused {
        task_id: result.task_id.clone(),
        ordinal: result.ordinal,
        desktop: Some(DesktopKey { project_id, desktop_id }),
        ..Refused::default()
    }
}

fn target_report(mut result: TargetResult, is_authentic: bool) -> Result<TargetReport, NotReported> {
    let batch_id = match result.batch_id.as_str() {
        "" => None,
        text => Some(text.parse::<BatchId>()?),
    };
    match proto::check_results(&mut result.scripts) {
        // The target ends with a reason instead of at its deadline.
        Err(error) if is_authentic => {
            let reason = format!("the agent's result is not valid: {error}");
            proto::make_unknown(&mut result.scripts, &reason);
        }
        checked => checked?,
    }
    Ok(TargetReport {
        task_id: result.task_id.parse::<TaskId>()?,
        ordinal: result.ordinal,
        attempt: result.attempt,
        batch_id,
        project_id: result.project_id.parse()?,
        desktop_id: result.desktop_id.parse()?,
        agent_id: result.agent_id,
        is_authentic,
        scripts: result.scripts.into_iter().map(script_report).collect::<Result<_, domain::Error>>()?,
        reboots_from: result.reboots_from.map(boot_id).transpose()?,
        trace_context: Some(result.trace_context).filter(|carried| !carried.is_empty()),
    })
}

/// Checks a boot id, which is stored with the target.
fn boot_id(text: String) -> Result<String, domain::Error> {
    if text.chars().count() > limits::MAX_DESKTOP_TEXT_CHARS || text.contains('\0') {
        let message = format!("a boot id has at most {} characters", limits::MAX_DESKTOP_TEXT_CHARS);
        return Err(domain::Error::out_of_range("reboots_from", message));
    }
    Ok(text)
}

/// Converts a checked result.
fn script_report(mut script: proto::types::ScriptResult) -> Result<ScriptResult, domain::Error> {
    let process = process_report(&mut script);
    Ok(ScriptResult {
        outcome: script.outcome.parse()?,
        exit_code: script.exit_code,
        started_at: unix_ms_in_range("started_at_unix_ms", script.started_at_unix_ms)?,
        ended_at: unix_ms_in_range("ended_at_unix_ms", script.ended_at_unix_ms)?,
        output: script.output,
        reason: script.reason,
        process,
    })
}

/// Takes the facts about a script's process out of its checked result. A fact that is no valid one
/// is dropped: it must not cost the target its outcome.
fn process_report(script: &mut proto::types::ScriptResult) -> ProcessReport {
    let left_processes: Vec<LeftProcess> = std::mem::take(&mut script.left_processes)
        .into_iter()
        .map(|process| LeftProcess {
            pid: process.pid,
            command: process.command,
            user: process.user,
            survived_kill: process.survived_kill,
        })
        .collect();
    let at_least = u32::try_from(left_processes.len()).unwrap_or(u32::MAX);
    ProcessReport {
        interpreter: Some(std::mem::take(&mut script.interpreter)).filter(|path| !path.is_empty()),
        signal: script.signal.and_then(process::signal),
        containment: script.containment.parse().ok(),
        left_processes_count: script.left_processes_count.max(at_least),
        left_processes,
    }
}
