//! Stop: the answer comes when the decision is stored, so that nothing more is admitted from then on.

use domain::{
    Error,
    access::{Action, Resource},
    submission::Aim,
};
use store::stop;
use telemetry::metric;

use crate::{Caller, Control, found};

/// What becomes of what runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopMode {
    /// It runs to its end.
    Drain,
    /// It is ended. What is meant where nothing is said.
    #[default]
    Kill,
}

impl Control {
    /// Stops a task, or one record of it. What has ended stays as it is: to stop it again changes nothing.
    pub async fn stop(&self, caller: &Caller, aim: Aim, mode: StopMode) -> Result<(), Error> {
        let task_id = aim.task_id();
        caller.check(Action::Stop, [Resource::Task(&task_id.to_string())])?;
        if matches!(aim, Aim::Record(_)) && mode == StopMode::Drain {
            return Err(Error::invalid(
                "mode drain is for a whole task: a record that runs is ended, or it is not stopped",
            ));
        }
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        if self.answered_before(&mut tx, caller).await?.is_some() {
            return Ok(());
        }
        let resource = match aim {
            Aim::Task(task_id) => {
                found::task(&mut tx, caller, task_id).await?;
                let reason = format!("stopped by {}", caller.identity.principal);
                let actor = &caller.identity.principal;
                stop::stop_task(&mut tx, task_id, mode == StopMode::Kill, actor, &reason, now).await?;
                format!("task:{task_id}")
            }
            Aim::Record(record_id) => {
                found::record(&mut tx, caller, record_id).await?;
                stop::stop_target(&mut tx, task_id, record_id.ordinal, record_id.script, now).await?;
                format!("record:{record_id}")
            }
        };
        self.done(tx, caller, Action::Stop, &resource, "stopped").await?;
        let of = if matches!(aim, Aim::Task(_)) { "task" } else { "record" };
        metric::STOPS.count(1, &[of, if mode == StopMode::Kill { "kill" } else { "drain" }]);
        Ok(())
    }
}
