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
    format::many,
    reason_flags::ReasonFlags,
    sanitize::sanitize_line,
};

/// Makes a random idempotency key of 32 hexadecimal digits.
pub(crate) fn idempotency_key() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Pauses a task: no more scripts start, and running scripts continue.
pub(crate) async fn pause(session: &Session, task_id: &str, why: &ReasonFlags) -> Result<Task, Error> {
    let request = PauseTaskRequest {
        task_id: task_id.to_owned(),
        idempotency_key: idempotency_key(),
        reason: why.reason.clone(),
        ticket: why.ticket.clone(),
    };
    let paused = repeated(async || session.tasks().pause_task(request.clone()).await).await;
    Ok(paused.map_err(|status| refused("pause", task_id, &status))?.into_inner().task.unwrap_or_default())
}

/// Resumes a paused task.
pub(crate) async fn resume(session: &Session, task_id: &str, why: &ReasonFlags) -> Result<Task, Error> {
    let request = ResumeTaskRequest {
        task_id: task_id.to_owned(),
        idempotency_key: idempotency_key(),
        reason: why.reason.clone(),
        ticket: why.ticket.clone(),
    };
    let resumed = repeated(async || session.tasks().resume_task(request.clone()).await).await;
    Ok(resumed.map_err(|status| refused("resume", task_id, &status))?.into_inner().task.unwrap_or_default())
}

/// A wave to approve, and its task as the approver sees it.
#[derive(Debug)]
pub(crate) struct WaveToApprove {
    pub(crate) task: Task,
    pub(crate) wave: u32,
}

impl WaveToApprove {
    /// Reads the task. Without a number, the wave is the first one that awaits approval.
    ///
    /// # Errors
    ///
    /// No wave awaits approval. A wave that waits because the previous one gave no evidence is
    /// approved only `without_evidence`.
    pub(crate) async fn read(
        session: &Session,
        task_id: &str,
        wave: Option<u32>,
        without_evidence: bool,
    ) -> Result<Self, Error> {
        let task = client::get_task(session, task_id).await?;
        let Some(wave) = wave.or_else(|| next_held(&task.waves).map(|next| next.wave)) else {
            return Err(Error::refused(format!("task {task_id} has no wave awaiting approval"))
                .try_next(format!("graywave show {task_id}")));
        };
        let found = Self { task, wave };
        if found.hold() == WaveHold::NoEvidence && !without_evidence {
            return Err(no_evidence(task_id, wave, &found.task.waves));
        }
        Ok(found)
    }

    fn found(&self) -> Option<&Wave> {
        self.task.waves.iter().find(|known| known.wave == self.wave)
    }

    fn hold(&self) -> WaveHold {
        self.found().map_or(WaveHold::Unspecified, Wave::hold)
    }

    /// Returns the question before the approval; `None` if the task has no such wave.
    pub(crate) fn question(&self) -> Option<String> {
        let desktops = many(self.found()?.size, "desktop");
        let before = self.task.waves.iter().find(|known| known.wave + 1 == self.wave);
        let results = before.map_or_else(String::new, |before| {
            let ok = before.targets.unwrap_or_default().success;
            format!(" (wave {}: {ok} of {} succeeded, {} failed)", before.wave, before.size, before.failed)
        });
        Some(format!("Approve wave {} of {} with {desktops}{results}?", self.wave, self.task.waves.len()))
    }

    /// Approves the wave, bound to the plan and the scripts that were read.
    pub(crate) async fn approve(self, session: &Session, why: &ReasonFlags) -> Result<Task, Error> {
        let (hold, wave) = (self.hold(), self.wave);
        let Task { task_id, plan_hash, script_hash, .. } = self.task;
        let request = ApproveWaveRequest {
            hold: hold.into(),
            task_id: task_id.clone(),
            wave,
            plan_hash,
            script_hash,
            idempotency_key: idempotency_key(),
            reason: why.reason.clone(),
            ticket: why.ticket.clone(),
        };
        let approved = repeated(async || session.tasks().approve_wave(request.clone()).await).await;
        let approved =
            approved.map_err(|status| refused(&format!("approve wave {wave} of"), &task_id, &status))?;
        Ok(approved.into_inner().task.unwrap_or_default())
    }
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
pub(crate) async fn stop(
    session: &Session,
    task_id: &str,
    mode: StopMode,
    why: &ReasonFlags,
) -> Result<Task, Error> {
    let request = StopTaskRequest {
        task_id: task_id.to_owned(),
        mode: mode.into(),
        idempotency_key: idempotency_key(),
        reason: why.reason.clone(),
        ticket: why.ticket.clone(),
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
    fn question_names_the_wave_its_desktops_and_the_results_before() {
        let wave = |wave, size, success, failed| Wave {
            wave,
            size,
            failed,
            targets: Some(proto::admin::Outcomes { success, failed, ..Default::default() }),
            ..Wave::default()
        };
        let task = Task { waves: vec![wave(1, 5, 4, 1), wave(2, 19_995, 0, 0)], ..Task::default() };
        let question = |wave| WaveToApprove { task: task.clone(), wave }.question();
        let expected = "Approve wave 2 of 2 with 19995 desktops (wave 1: 4 of 5 succeeded, 1 failed)?";
        assert_eq!(question(2).as_deref(), Some(expected));
        assert_eq!(question(1).as_deref(), Some("Approve wave 1 of 2 with 5 desktops?"));
        assert_eq!(question(3), None);
    }

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
