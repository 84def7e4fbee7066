//! Preview: what a request would do, without doing any of it.

use std::collections::HashSet;

use domain::{
    Error,
    ids::DesktopId,
    plan::{Exposure, Plan, PlannedWave, Uncovered, uncovered, worst_case},
    policy::RolloutPolicy,
    submission::ExecutionRequest,
};
use store::{desktop, task, task::PinnedScript};

use crate::{
    Caller, Control,
    executions::{check_choice, choose},
};

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

/// A wave of a preview.
#[derive(Debug, Clone, Copy)]
pub struct PreviewedWave<'a> {
    /// As it is planned.
    pub planned: &'a PlannedWave,
    /// Its members, in the order of the plan.
    pub desktop_ids: &'a [DesktopId],
    /// A person would have to approve it.
    pub needs_approval: bool,
    /// Members that are away now.
    pub offline: u32,
    /// If the rollout is halted in it.
    pub worst_case: Exposure,
}

impl Preview {
    /// Its waves, in order.
    pub fn waves(&self) -> impl Iterator<Item = PreviewedWave<'_>> {
        self.plan.waves.iter().zip(&self.exposure).map(|(planned, &worst_case)| {
            let first = planned.first_ordinal as usize;
            let desktop_ids = self.plan.order.get(first..first + planned.size as usize).unwrap_or_default();
            let away = desktop_ids.iter().filter(|id| self.is_offline(id)).count();
            PreviewedWave {
                planned,
                desktop_ids,
                needs_approval: self.policy.opening_of(planned.wave).needs_approval,
                offline: u32::try_from(away).unwrap_or(u32::MAX),
                worst_case,
            }
        })
    }

    /// The members of the gray wave, each with the reason for which it was chosen.
    pub fn canaries(&self) -> impl Iterator<Item = (&DesktopId, &str)> {
        self.plan
            .picks
            .iter()
            .filter_map(|pick| Some((self.plan.order.get(pick.ordinal as usize)?, pick.reason.as_str())))
    }

    /// Those that are away now, in the order of the plan.
    pub fn offline_desktops(&self) -> impl Iterator<Item = &DesktopId> {
        self.plan.order.iter().filter(|id| self.is_offline(id))
    }

    /// Of the whole rollout.
    pub fn worst_case(&self) -> Exposure {
        Exposure {
            started: self.exposure.iter().map(|it| it.started).max().unwrap_or_default(),
            failed: self.exposure.iter().map(|it| it.failed).max().unwrap_or_default(),
        }
    }

    fn is_offline(&self, desktop_id: &DesktopId) -> bool {
        self.offline.contains(desktop_id.as_str())
    }
}

impl Control {
    /// As [`Self::submit`], but stores nothing. Whoever may not run it may not preview it.
    pub async fn preview(&self, caller: &Caller, mut request: ExecutionRequest) -> Result<Preview, Error> {
        check_choice(&request, caller)?;
        let mut connection = self.store.acquire().await?;
        choose(&mut connection, caller, &mut request).await?;
        let prepared = self.prepare(&mut connection, caller, request).await?;
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
