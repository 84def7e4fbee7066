//! A runner, as its agent sees it.

use std::{fs::File, io, path::Path, time::Duration};

use runner::{Claim, END, ENDED, Ended, LeftProcess, RunDir, RunState, STOP};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
    time::{Instant, sleep, sleep_until},
};

use super::runs::Runs;
use crate::{
    blocking::blocking,
    platform::{ControlStream, connect, make_usable},
    scratch::{Scratch, WorkDir},
};

/// Time that a runner has for its result after the timeout or a stop of its script. A runner that
/// takes longer is killed: it kills for seconds, and waits at most a minute for a full disk.
const RUNNER_GRACE: Duration = Duration::from_secs(90);
/// Interval at which a runner is looked at that cannot be connected to.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Execution under its runner.
#[derive(Debug)]
pub(crate) struct Supervised {
    pub(super) id: String,
    pub(super) run_dir: RunDir,
    /// Working directory; `None` if it is lost.
    pub(super) work_dir: Option<WorkDir>,
    pub(super) timeout: Duration,
    pub(super) control: Option<ControlStream>,
    /// Process of a runner that this agent started.
    pub(super) process: Option<Child>,
}

/// How the end of an execution was learnt.
#[derive(Debug)]
pub(crate) enum Finish {
    /// The result is in place.
    Ended(Box<Ended>),
    /// The script certainly never started, for this reason.
    NeverStarted(String),
    /// How the script ended is unknown, for this cause. Processes that survived the kill are named.
    Lost { cause: &'static str, survivors: Vec<LeftProcess> },
    /// The agent stops, and the script goes on under its runner.
    Detached,
}

/// Effect of the agent's stop on its scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentStop {
    /// They go on under their runners.
    Detach,
    /// They are killed.
    EndScripts,
}

impl Supervised {
    /// Attaches to an execution that an earlier agent started.
    pub(crate) fn attach(id: String, run_dir: RunDir, work_dir: Option<WorkDir>) -> Self {
        // Without a specification the runner never started the script.
        let timeout =
            run_dir.read_spec().map_or(Duration::ZERO, |spec| Duration::from_millis(spec.timeout_ms));
        Self { id, run_dir, work_dir, timeout, control: None, process: None }
    }

    /// Waits for the end of the execution, and stops it when asked to.
    pub(crate) async fn finish(
        &mut self,
        stop_requested: impl Future<Output = ()>,
        agent_stops: impl Future<Output = AgentStop>,
    ) -> Finish {
        let (mut stop_requested, mut agent_stops) = (Box::pin(stop_requested), Box::pin(agent_stops));
        let mut request = None;
        let mut limit = Instant::now() + self.timeout + RUNNER_GRACE;
        loop {
            if self.control.is_none()
                && let Some(finish) = self.reconnect(request).await
            {
                return finish;
            }
            tokio::select! {
                closed = ended(&mut self.control) => {
                    match blocking_state(&self.run_dir).await {
                        Ok(RunState::Ended(ended)) => return Finish::Ended(Box::new(ended)),
                        _ if closed => self.control = None,
                        // The byte came from something else than a runner.
                        _ => {}
                    }
                }
                () = &mut stop_requested, if request.is_none() => {
                    request = Some(STOP);
                    self.send(STOP).await;
                    limit = Instant::now() + RUNNER_GRACE;
                }
                how = &mut agent_stops, if request != Some(END) => match how {
                    AgentStop::Detach => return Finish::Detached,
                    AgentStop::EndScripts => {
                        request = Some(END);
                        self.send(END).await;
                        limit = Instant::now() + RUNNER_GRACE;
                    }
                },
                () = sleep_until(limit) => return self.kill_runner().await,
            }
        }
    }

    /// Looks at a runner without a connection, and connects if it runs. Repeats a request.
    async fn reconnect(&mut self, request: Option<u8>) -> Option<Finish> {
        match blocking_state(&self.run_dir).await {
            Ok(RunState::Running) => {
                self.control = connect(&self.run_dir).await.ok();
                match request {
                    Some(request) if self.control.is_some() => self.send(request).await,
                    _ if self.control.is_none() => sleep(LOOK_INTERVAL).await,
                    _ => {}
                }
                None
            }
            Ok(RunState::Ended(ended)) => Some(Finish::Ended(Box::new(ended))),
            Ok(RunState::NeverStarted(lock)) => Some(self.never_started(lock).await),
            Ok(RunState::Interrupted(claim)) => {
                // The content of a claim is not synced, so a power loss leaves it empty.
                let is_of_this_boot = claim
                    .as_ref()
                    .is_some_and(|claim| runner::boot_id().is_some_and(|id| id == claim.boot_id));
                let cause = if is_of_this_boot { "the runner was killed" } else { "the machine stopped" };
                Some(self.lost(claim, cause).await)
            }
            Err(error) => {
                tracing::warn!(%error, id = self.id, "the run directory of a script is lost");
                Some(self.lost(None, "the run directory was removed").await)
            }
        }
    }

    /// Makes sure that no late runner starts the script.
    async fn never_started(&mut self, lock: File) -> Finish {
        let run_dir = self.run_dir.clone();
        match blocking(move || run_dir.void(lock).map(|()| run_dir.error())).await {
            Ok(cause) => Finish::NeverStarted(cause.unwrap_or_else(|| "the runner did not start".to_owned())),
            Err(error) => {
                tracing::error!(%error, id = self.id, "keeping a late runner from its script failed");
                self.lost(None, "a late runner could have started it").await
            }
        }
    }

    async fn send(&mut self, request: u8) {
        if let Some(control) = &mut self.control
            && control.write_all(&[request]).await.is_err()
        {
            self.control = None;
        }
    }

    /// Kills a runner that does not respond, with the processes of its script.
    async fn kill_runner(&mut self) -> Finish {
        tracing::error!(id = self.id, "a runner does not respond; killing it");
        self.kill_process();
        let claim = self.run_dir.claim_of_runner();
        self.lost(claim, "the runner did not respond").await
    }

    /// Kills the runner's own process, if this agent started it. The processes of its script go on.
    pub(super) fn kill_process(&mut self) {
        if let Some(process) = &mut self.process
            && let Err(error) = process.start_kill()
        {
            tracing::debug!(%error, "killing the runner's process failed");
        }
    }

    /// Ends the processes of a script without a runner.
    async fn lost(&mut self, claim: Option<Claim>, cause: &'static str) -> Finish {
        let (id, cgroup) = (self.id.clone(), claim.and_then(|claim| claim.cgroup));
        let survivors = blocking(move || runner::kill_processes(&id, cgroup.as_deref())).await;
        Finish::Lost { cause, survivors }
    }

    /// Renames the directories of a run that is void, so that the run may get others, and removes
    /// them in the background. Blocks.
    pub(crate) fn set_aside(mut self, runs: &Runs, scratch: &Scratch) {
        match runs.set_aside(&self.id) {
            Ok(aside) => scratch.remove_run(&aside),
            Err(error) => tracing::warn!(%error, id = self.id, "renaming a run directory failed"),
        }
        if let Some(mut work_dir) = self.work_dir.take() {
            if let Err(error) = work_dir.set_aside() {
                tracing::warn!(%error, id = self.id, "renaming a working directory failed");
            }
            work_dir.set_in_use(false);
        }
    }

    /// Waits until the runner is gone, which drains the output of background processes, and removes
    /// the working directory.
    pub(crate) async fn gone(mut self) {
        if let Some(control) = &mut self.control {
            // Nothing follows the announcement of the result but the end.
            while control.read_u8().await.is_ok() {}
        }
        if let Some(process) = &mut self.process
            && let Err(error) = process.wait().await
        {
            tracing::debug!(%error, "waiting for a runner failed");
        }
        if let Some(mut work_dir) = self.work_dir.take() {
            let removed = work_dir.removed();
            work_dir.set_in_use(false);
            drop(work_dir);
            removed.await;
        }
    }
}

/// Waits for a message of the runner; true if the connection is closed.
async fn ended(control: &mut Option<ControlStream>) -> bool {
    let Some(control) = control else { return true };
    !matches!(control.read_u8().await, Ok(ENDED))
}

async fn blocking_state(run_dir: &RunDir) -> io::Result<RunState> {
    let run_dir = run_dir.clone();
    blocking(move || match run_dir.state() {
        // A script may have taken the permissions of the directories above.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let above: Vec<&Path> = run_dir.path().ancestors().take(3).collect();
            above.into_iter().rev().for_each(make_usable);
            run_dir.state()
        }
        state => state,
    })
    .await
}
