//! An operation, as it runs on either store.

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
};
use engine::{
    Approval, Approved, Decision, DueTimes, Duty, Engine, Freeze, Report, Rows, Suspension, row::LeaseChoice,
};

/// An operation.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Heartbeat {
        worker_id: WorkerId,
        is_draining: bool,
    },
    Connect {
        worker_id: WorkerId,
        project_id: ProjectId,
        desktop_id: DesktopId,
        agent_id: String,
        boot_id: String,
    },
    Disconnect {
        worker_id: WorkerId,
        project_id: ProjectId,
        desktop_id: DesktopId,
    },
    Retire {
        project_id: ProjectId,
        desktop_id: DesktopId,
    },
    Forget {
        worker_id: WorkerId,
        died: bool,
    },
    Lease {
        choices: Vec<LeaseChoice>,
    },
    Renew {
        worker_id: WorkerId,
        leases: Vec<(TaskId, BatchId)>,
    },
    Freeze {
        project_id: ProjectId,
    },
    SetLimit {
        project_id: ProjectId,
        max_in_flight: Option<u32>,
    },
    Decide(Act),
}

/// An operation of the engine.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Cut(TaskId),
    Perform(Duty),
    Report(Report),
    Pause(TaskId),
    Resume(TaskId),
    SuspendProject(ProjectId),
    ReleaseProject(ProjectId),
    Stop { task_id: TaskId, kills: bool },
    StopTarget { task_id: TaskId, ordinal: u32 },
    SetMaxConcurrency(TaskId, Option<u32>),
    Approve { task_id: TaskId, wave: u16 },
}

const ACTOR: &str = "alice";

impl Act {
    /// Decides on the rows of an open transaction.
    pub(super) async fn decide<R: Rows>(
        &self,
        rows: &mut R,
        now: Timestamp,
    ) -> Result<Vec<Decision>, R::Error> {
        let engine = Engine::new();
        let decision = match self.clone() {
            Self::Cut(task_id) => engine.admit(rows, task_id, now).await?.map(|cut| cut.decision),
            Self::Perform(duty) => engine.perform(rows, &duty, DueTimes::at(now)).await?,
            Self::Report(report) => engine.report(rows, report, now).await?.decision,
            Self::Pause(task_id) => {
                of_hold(engine.set_paused(rows, task_id, true, ACTOR, "a test", now).await?)
            }
            Self::Resume(task_id) => {
                of_hold(engine.set_paused(rows, task_id, false, ACTOR, "a test", now).await?)
            }
            Self::SuspendProject(project_id) => {
                let news = Freeze { actor: ACTOR, reason: "a test" };
                let mut decisions = Vec::new();
                for task_id in rows.open_tasks(&project_id).await? {
                    let step = engine.suspend_task_of_project(rows, &project_id, task_id, Some(news), now);
                    decisions.extend(step.await?);
                }
                return Ok(decisions);
            }
            Self::ReleaseProject(project_id) => {
                let mut decisions = Vec::new();
                if rows.unfreeze(&project_id).await? {
                    for task_id in rows.open_tasks(&project_id).await? {
                        let news = Some(Freeze { actor: ACTOR, reason: "a test" });
                        let step = engine.release_task_of_project(rows, task_id, news, now);
                        decisions.extend(step.await?);
                    }
                }
                return Ok(decisions);
            }
            Self::Stop { task_id, kills } => {
                engine.stop_task(rows, task_id, kills, ACTOR, "a test", now).await?
            }
            Self::StopTarget { task_id, ordinal } => {
                engine.stop_target(rows, task_id, ordinal, 0, now).await?
            }
            Self::SetMaxConcurrency(task_id, most) => {
                engine.set_max_concurrency(rows, task_id, most, ACTOR, now).await?
            }
            Self::Approve { task_id, wave } => {
                let (author, approver) = (ACTOR, "bob");
                let approval = Approval {
                    wave,
                    author,
                    approver,
                    reason: "a test",
                    fits_plan: true,
                    fits_scripts: true,
                    seen_hold: None,
                };
                match engine.approve(rows, task_id, &approval, now).await? {
                    Approved::Done(decision) => decision.map(|decision| *decision),
                    Approved::TooLate | Approved::Refused(_) => None,
                }
            }
        };
        Ok(decision.into_iter().collect())
    }

    /// The same operation with the batch ids of the other store.
    pub(super) fn translated(&self, id: impl Fn(BatchId) -> BatchId) -> Self {
        let mut act = self.clone();
        match &mut act {
            Self::Perform(duty) => duty.batch_id = duty.batch_id.map(id),
            Self::Report(report) => {
                let named = report.results.iter_mut().filter_map(|result| result.batch_id.as_mut());
                let returned = report.returned.iter_mut().map(|target| &mut target.batch_id);
                named.chain(returned).for_each(|batch_id| *batch_id = id(*batch_id));
            }
            _ => {}
        }
        act
    }
}

fn of_hold(hold: Suspension) -> Option<Decision> {
    match hold {
        Suspension::Done(decision) => decision.map(|decision| *decision),
        Suspension::TooLate(_) => None,
    }
}
