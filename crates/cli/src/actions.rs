//! Changes of a running task, each safe to retry: shared by the commands and by the keys of the
//! full-screen view.

use domain::{ErrorKind, Reason};
use proto::admin::{
    ApproveWaveRequest, PauseTaskRequest, ResumeTaskRequest, StopMode, StopTaskRequest, Task, Wave, WaveHold,
    WaveStatus,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    Error,
    client::{self, Session, repeated},
    sanitize::sanitize_line,
};

/// Makes a random idempotency key of 32 hexadecimal digits.
pub(crate) fn idempotency_key() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Pauses a task: no more scripts start, and running scripts continue.
pub(crate) async fn pause(session: &Session, task_id: &str) -> Result<Task, Error> {
    let request = PauseTaskRequest { task_id: task_id.to_owned(), idempotency_key: idempotency_key() };
    let paused = repeated(async || session.tasks().pause_task(request.clone()).await).await;
    Ok(paused.map_err(|status| refused("pause", task_id, &status))?.into_inner().task.unwrap_or_default())
}

/// Resumes a paused task.
pub(crate) async fn resume(session: &Session, task_id: &str) -> Result<Task, Error> {
    let request = ResumeTaskRequest { task_id: task_id.to_owned(), idempotency_key: idempotency_key() };
    let resumed = repeated(async || session.tasks().resume_task(request.clone()).await).await;
    Ok(resumed.map_err(|status| refused("resume", task_id, &status))?.into_inner().task.unwrap_or_default())
}

/// Approves a wave; returns its number and the task. Without a number, the first wave that awaits
/// approval is approved. The approval is bound to the current plan hash and script hash of the
/// task. A wave that waits because the previous one gave no evidence is approved only
/// `without_evidence`.
pub(crate) async fn approve(
    session: &Session,
    task_id: &str,
    wave: Option<u32>,
    without_evidence: bool,
) -> Result<(u32, Task), Error> {
    let seen = client::get_task(session, task_id).await?;
    let Some(wave) = wave.or_else(|| next_held(&seen.waves).map(|next| next.wave)) else {
        return Err(Error::refused(format!("task {task_id} has no wave awaiting approval"))
            .try_next(format!("graywave show {task_id}")));
    };
    let hold = seen.waves.iter().find(|known| known.wave == wave).map_or(WaveHold::Unspecified, Wave::hold);
    if hold == WaveHold::NoEvidence && !without_evidence {
        return Err(no_evidence(task_id, wave, &seen.waves));
    }
    let request = ApproveWaveRequest {
        hold: hold.into(),
        task_id: task_id.to_owned(),
        wave,
        plan_hash: seen.plan_hash,
        script_hash: seen.script_hash,
        idempotency_key: idempotency_key(),
    };
    let approved = repeated(async || session.tasks().approve_wave(request.clone()).await).await;
    let approved =
        approved.map_err(|status| refused(&format!("approve wave {wave} of"), task_id, &status))?;
    Ok((wave, approved.into_inner().task.unwrap_or_default()))
}

/// Builds the error of an approval that does not say that the previous wave gave no evidence.
fn no_evidence(task_id: &str, wave: u32, waves: &[Wave]) -> Error {
    let before = waves.iter().find(|known| known.wave + 1 == wave);
    let verdict = before.map_or_else(String::new, |before| {
        format!(" (wave {}: {})", before.wave, sanitize_line(&before.verdict))
    });
    Error::refused(format!(
        "wave {wave} waits because too few targets of the wave before it succeeded{verdict}"
    ))
    .try_next(format!("graywave explain {task_id}"))
    .try_next(format!("graywave approve {task_id} {wave} --without-evidence"))
}

/// Returns the next wave if it needs an approval and has none. Waves are in order.
pub(crate) fn next_held<'a>(waves: impl IntoIterator<Item = &'a Wave>) -> Option<&'a Wave> {
    let next = waves.into_iter().find(|wave| wave.status() != WaveStatus::Closed)?;
    Some(next).filter(|wave| wave.status() == WaveStatus::Pending && wave.hold() != WaveHold::Unspecified)
}

/// Returns the command that approves the wave of a task.
pub(crate) fn approve_command(task_id: &str, wave: &Wave) -> String {
    match wave.hold() {
        WaveHold::NoEvidence => format!("graywave approve {task_id} {} --without-evidence", wave.wave),
        _ => format!("graywave approve {task_id}"),
    }
}

/// Stops a task: no more scripts start. `mode` drains or kills the running scripts.
pub(crate) async fn stop(session: &Session, task_id: &str, mode: StopMode) -> Result<Task, Error> {
    let request = StopTaskRequest {
        task_id: task_id.to_owned(),
        mode: mode.into(),
        idempotency_key: idempotency_key(),
        ..StopTaskRequest::default()
    };
    let stopped = repeated(async || session.tasks().stop_task(request.clone()).await).await;
    Ok(stopped.map_err(|status| refused("stop", task_id, &status))?.into_inner().task.unwrap_or_default())
}

/// Builds the error of a refused change. A conflict adds a hint to show the task.
pub(crate) fn refused(what: &str, task_id: &str, status: &Status) -> Error {
    let failure = Error::of(&format!("cannot {what} task {task_id}"), status);
    match failure.reason().map(Reason::kind) {
        Some(ErrorKind::Conflict) => failure.try_next(format!("graywave show {task_id}")),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wave_to_approve_is_the_next_one_if_it_is_held() {
        let wave = |wave, status: WaveStatus, hold: WaveHold| Wave {
            wave,
            hold: hold.into(),
            status: status.into(),
            ..Wave::default()
        };
        let closed = wave(1, WaveStatus::Closed, WaveHold::Unspecified);
        let held = wave(2, WaveStatus::Pending, WaveHold::NoEvidence);
        let later = wave(3, WaveStatus::Pending, WaveHold::Approval);
        let next = next_held([&closed, &held, &later]).unwrap();
        assert_eq!(approve_command("t", next), "graywave approve t 2 --without-evidence");
        assert_eq!(approve_command("t", &later), "graywave approve t");
        let open = wave(2, WaveStatus::Open, WaveHold::Unspecified);
        assert_eq!(next_held([&closed, &open, &later]), None, "nobody has seen the results of wave 2");
    }
}
