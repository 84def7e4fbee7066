//! What another rollout would have done with a task's recorded results.

use domain::{
    Error, Reason,
    authz::Action,
    ids::TaskId,
    plan::PlannedWave,
    rollout::{self, RolloutRequest},
    what_if::{self, WhatIf},
};
use store::{record, task};

use crate::{Caller, Control, lookup::find_task};

impl Control {
    /// Replays a task's recorded results under another rollout, and returns where that rollout
    /// would have stopped. The task's waves apply if the rollout defines none.
    pub async fn what_if(
        &self,
        caller: &Caller,
        task_id: TaskId,
        request: RolloutRequest,
    ) -> Result<WhatIf, Error> {
        self.read_many(caller.project_id(), async |connection| {
            let task = find_task(connection, caller, Action::GetTask, task_id).await?;
            if !task.status.is_ended() {
                return Err(Error::new(
                    Reason::TaskNotEnded,
                    "the task has not ended: some results are missing",
                ));
            }
            let rollout = request.check().map_err(|error| error.within("rollout"))?;
            let planned = match &rollout.waves {
                None => task::planned_waves(connection, task_id).await?,
                Some(waves) => PlannedWave::consecutive(rollout::sizes(waves, task.target_count)?),
            };
            let results = record::finished(connection, task_id).await?;
            // A replay of a million results takes longer than an async thread may be blocked.
            let replay =
                move || what_if::replay(&planned, &rollout.policy, rollout.max_concurrency, &results);
            let replayed = tokio::task::spawn_blocking(replay).await;
            replayed.map_err(|error| Error::internal().with_source(error))
        })
        .await
    }
}
