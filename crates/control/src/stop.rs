//! Stop: the call returns when the decision is committed, and no further target is admitted after
//! that.

use domain::{
    Error,
    authz::{Action, Resource},
    submission::TaskOrRecord,
};
use store::TaskRows;
use telemetry::metric;

use crate::{
    Caller, Control, StopMode,
    change::Begun,
    lookup,
    rollout::{self, ENGINE},
};

impl Control {
    /// Stops a task, or one record of a task. A task or record that has ended stays unchanged.
    pub async fn stop(&self, caller: &Caller, aim: TaskOrRecord, mode: StopMode) -> Result<(), Error> {
        let task_id = aim.task_id();
        caller.check(Action::Stop, [Resource::Task(&task_id.to_string())])?;
        if matches!(aim, TaskOrRecord::Record(_)) && mode == StopMode::Drain {
            return Err(Error::invalid(
                "mode",
                "only a whole task can drain: stop a single record with kill",
            ));
        }
        let now = self.environment.now();
        let Begun::New(mut tx) = self.begin_change(caller).await? else { return Ok(()) };
        let (resource, decision) = match aim {
            TaskOrRecord::Task(task_id) => {
                lookup::task(&mut tx, caller, task_id).await?;
                let actor = &caller.identity.principal;
                let reason = caller.justification.after(&format!("stopped by {actor}"));
                let (mut rows, kills) = (TaskRows::new(&mut tx), mode == StopMode::Kill);
                let decision = ENGINE.stop_task(&mut rows, task_id, kills, actor, &reason, now).await?;
                (format!("task:{task_id}"), decision)
            }
            TaskOrRecord::Record(record_id) => {
                lookup::record(&mut tx, caller, record_id).await?;
                let (mut rows, ordinal) = (TaskRows::new(&mut tx), record_id.ordinal);
                let decision = ENGINE.stop_target(&mut rows, task_id, ordinal, record_id.script, now).await?;
                (format!("record:{record_id}"), decision)
            }
        };
        rollout::apply(&mut tx, &decision).await?;
        self.done(tx, caller, Action::Stop, &resource, "stopped").await?;
        rollout::report(&decision);
        let of = if matches!(aim, TaskOrRecord::Task(_)) { "task" } else { "record" };
        metric::STOPS.increment(1, &[of, if mode == StopMode::Kill { "kill" } else { "drain" }]);
        Ok(())
    }
}
