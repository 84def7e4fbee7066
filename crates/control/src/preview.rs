//! Preview: the effect of a request, without storing or running anything.

use std::collections::HashSet;

use domain::{
    Error,
    ids::DesktopId,
    plan::{Exposure, Plan, PlannedWave, Uncovered, uncovered, worst_case},
    policy::RolloutPolicy,
    submission::ExecutionRequest,
    warning::{self, Canaries, Warning},
};
use store::{Connection, task, task::PinnedScript};

use crate::{
    Caller, Control,
    executions::{check_choice, choose},
    guardrails::Guardrails,
    warnings,
};

/// The task that a request would create.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Targets, waves and thresholds.
    pub plan: Plan,
    /// Scripts at their current revisions.
    pub scripts: Vec<PinnedScript>,
    /// SHA-256 over the scripts or the command.
    pub script_hash: Vec<u8>,
    /// Rules that decide what counts as a failure and when the rollout halts.
    pub policy: RolloutPolicy,
    /// Worst case of each wave.
    pub exposure: Vec<Exposure>,
    /// Strata without a canary.
    pub uncovered: Vec<Uncovered>,
    /// Ids of desktops that are offline now.
    pub offline: HashSet<String>,
    /// Facts that the author of the request probably did not mean.
    pub warnings: Vec<Warning>,
}

/// A wave of a preview.
#[derive(Debug, Clone, Copy)]
pub struct PreviewedWave<'a> {
    /// The wave as planned.
    pub planned: &'a PlannedWave,
    /// Its desktops, in the order of the plan.
    pub desktop_ids: &'a [DesktopId],
    /// Whether a person must approve the wave.
    pub needs_approval: bool,
    /// Number of its desktops that are offline now.
    pub offline: u32,
    /// Maximum damage if the rollout halts in this wave.
    pub worst_case: Exposure,
}

impl Preview {
    /// Returns the waves in order.
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

    /// Returns the desktops of the gray wave, each with the reason for its selection.
    pub fn canaries(&self) -> impl Iterator<Item = (&DesktopId, &str)> {
        self.plan.canaries()
    }

    /// Returns the desktops that are offline now, in the order of the plan.
    pub fn offline_desktops(&self) -> impl Iterator<Item = &DesktopId> {
        self.plan.order.iter().filter(|id| self.is_offline(id))
    }

    /// Returns the worst case of the whole rollout.
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
    /// Validates and plans like [`Self::submit`], but stores nothing. Requires the right to run the
    /// request.
    pub async fn preview(
        &self,
        caller: &Caller,
        request: ExecutionRequest,
        guardrails: Guardrails,
    ) -> Result<Preview, Error> {
        check_choice(&request, caller)?;
        self.read_many(caller.project_id(), async |connection| {
            self.preview_with(connection, caller, request, guardrails).await
        })
        .await
    }

    async fn preview_with(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        mut request: ExecutionRequest,
        guardrails: Guardrails,
    ) -> Result<Preview, Error> {
        choose(connection, caller, &mut request).await?;
        let prepared = self.prepare(connection, caller, request, guardrails).await?;
        let rollout = &prepared.submission.rollout;
        let project_id = caller.project_id();
        let script_hash =
            task::script_hash(connection, project_id, &prepared.scripts, prepared.command()).await?;
        let (scripts, command) = (&prepared.scripts, prepared.command());
        let mut warnings =
            warnings::of_work(connection, project_id, scripts, command, &rollout.policy).await?;
        let offline: HashSet<String> = prepared
            .candidates
            .iter()
            .filter(|candidate| !candidate.is_connected)
            .map(|candidate| candidate.desktop_id.to_string())
            .collect();
        let waves: Vec<_> = prepared.plan.waves.iter().map(|wave| (wave.size, wave.fail_threshold)).collect();
        let canaries = prepared.plan.canaries().map(|(id, _)| (id, offline.contains(id.as_str())));
        warnings.extend(warning::of_plan(&rollout.policy, &waves, &Canaries::count(canaries)));
        Ok(Preview {
            script_hash,
            exposure: worst_case(&prepared.plan.waves, &rollout.policy, rollout.max_concurrency),
            uncovered: uncovered(&prepared.plan, &prepared.candidates, &rollout.canaries.by),
            offline,
            policy: rollout.policy.clone(),
            scripts: prepared.scripts,
            plan: prepared.plan,
            warnings,
        })
    }
}
