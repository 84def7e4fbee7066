//! Limits over all tasks of a project, and its guardrails.

use domain::{
    BasisPoints, Error,
    audit::changed,
    authz::{Action, Resource},
    guardrails::Guardrails,
    ids::ProjectId,
    limits,
};
use store::{
    notify::{self, Wake},
    project_limit::{self, ProjectLimits},
};

use crate::{Caller, Control, change::Begun};

/// A change of limits. `None` leaves a limit unchanged; `Some(None)` removes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsChange {
    /// Maximum number of targets in flight.
    pub max_in_flight: Option<Option<i64>>,
    /// Maximum number of scripts that one desktop runs at the same time.
    pub max_running_per_desktop: Option<Option<i64>>,
    /// Whether reads of contents and outputs are audited.
    pub audit_reads: Option<bool>,
    /// Maximum number of desktops in the first wave.
    pub require_canary_above: Option<Option<i64>>,
    /// Whether every wave needs a failure threshold.
    pub require_threshold: Option<bool>,
    /// Maximum share of a task's desktops in one wave, in percent.
    pub max_wave_percent: Option<Option<f64>>,
    /// Whether every execution needs a reason.
    pub require_reason: Option<bool>,
    /// Maximum number of desktops that start before the first wave with an approval.
    pub require_approval_above: Option<Option<i64>>,
}

impl LimitsChange {
    /// Checks the new values and merges them with the present limits.
    fn over(self, before: ProjectLimits) -> Result<ProjectLimits, Error> {
        let share = |percent| BasisPoints::from_percent(percent).map_err(|it| it.within("max_wave_percent"));
        let guardrails = before.guardrails;
        Ok(ProjectLimits {
            max_in_flight: merged(self.max_in_flight, limits::project_in_flight, before.max_in_flight)?,
            max_running_per_desktop: merged(
                self.max_running_per_desktop,
                limits::running_per_desktop,
                before.max_running_per_desktop,
            )?,
            audit_reads: self.audit_reads.unwrap_or(before.audit_reads),
            guardrails: Guardrails {
                require_canary_above: merged(
                    self.require_canary_above,
                    limits::canary_above,
                    guardrails.require_canary_above,
                )?,
                require_threshold: self.require_threshold.unwrap_or(guardrails.require_threshold),
                max_wave_percent: merged(self.max_wave_percent, share, guardrails.max_wave_percent)?,
                require_reason: self.require_reason.unwrap_or(guardrails.require_reason),
                require_approval_above: merged(
                    self.require_approval_above,
                    limits::approval_above,
                    guardrails.require_approval_above,
                )?,
            },
        })
    }
}

/// Checks the new value of a limit; without a change, returns the value before.
fn merged<T, N>(
    change: Option<Option<T>>,
    check: impl Fn(T) -> Result<N, Error>,
    before: Option<N>,
) -> Result<Option<N>, Error> {
    match change {
        None => Ok(before),
        Some(value) => value.map(check).transpose(),
    }
}

impl Control {
    /// Returns the project's limits.
    pub async fn show_limits(&self, caller: &Caller) -> Result<ProjectLimits, Error> {
        caller.check(Action::GetProject, [Resource::Everything])?;
        self.limits_of(caller.project_id()).await
    }

    async fn limits_of(&self, project_id: &ProjectId) -> Result<ProjectLimits, Error> {
        Ok(project_limit::fetch(&mut *self.store.acquire().await?, project_id).await?)
    }

    /// Changes limits. Targets that are in flight and tasks that exist are not affected by a lower
    /// limit or a new guardrail. Returns all limits.
    pub async fn update_limits(&self, caller: &Caller, change: LimitsChange) -> Result<ProjectLimits, Error> {
        caller.check(Action::PutLimits, [Resource::Everything])?;
        // A wrong value is refused before the row is locked.
        change.over(ProjectLimits::default())?;
        let project_id = caller.project_id();
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.limits_of(project_id).await,
        };
        let before = project_limit::lock(&mut tx, project_id).await?;
        let limits = change.over(before)?;
        project_limit::put(&mut tx, project_id, limits).await?;
        notify::send(&mut tx, Wake::Admit).await?;
        let details = changed(Some(&before), Some(&limits))?;
        let resource = format!("project:{project_id}");
        self.done_with(tx, caller, Action::PutLimits, &resource, &details, "changed").await?;
        Ok(limits)
    }
}
