//! Preview: what a request would do, without doing any of it.

use std::collections::HashSet;

use domain::{
    Error,
    access::Action,
    plan::{Exposure, Plan, Uncovered, uncovered, worst_case},
    policy::RolloutPolicy,
    submission::{EXECUTION_FIELDS, ExecutionRequest},
};
use store::{desktop, task, task::PinnedScript};

use crate::{Caller, Control, executions::Chosen};

/// The task that a request would make.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Who would run when.
    pub plan: Plan,
    /// What would run, at its present revision.
    pub scripts: Vec<PinnedScript>,
    /// SHA-256 over what would run.
    pub script_hash: Vec<u8>,
    /// What would count, and when it would be too much.
    pub policy: RolloutPolicy,
    /// For each wave, what may fail at worst.
    pub exposure: Vec<Exposure>,
    /// Strata without a canary.
    pub uncovered: Vec<Uncovered>,
    /// Desktops that are away now.
    pub offline: HashSet<String>,
}

impl Control {
    /// As [`Self::submit`], but stores nothing. Whoever may not run it may not preview it.
    pub async fn preview(&self, caller: &Caller, request: ExecutionRequest) -> Result<Preview, Error> {
        caller.check_any(Action::Execute)?;
        let chosen = Chosen { request, names: EXECUTION_FIELDS, action: Action::Execute, selection: None };
        let mut connection = self.store.acquire().await?;
        let prepared = self.prepare(&mut connection, caller, chosen).await?;
        let rollout = &prepared.submission.rollout;
        let project_id = caller.project_id();
        let script_hash =
            task::script_hash(&mut connection, project_id, &prepared.scripts, prepared.command()).await?;
        let offline = desktop::offline(&mut connection, project_id, &prepared.plan.order).await?;
        Ok(Preview {
            script_hash,
            exposure: worst_case(&prepared.plan.waves, &rollout.policy, rollout.max_concurrency),
            uncovered: uncovered(&prepared.plan, &prepared.candidates, &rollout.by),
            offline: offline.into_iter().collect(),
            policy: rollout.policy.clone(),
            scripts: prepared.scripts,
            plan: prepared.plan,
        })
    }
}
