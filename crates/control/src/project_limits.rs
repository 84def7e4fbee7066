//! Limits over all tasks of a project.

use domain::{
    Error,
    audit::changed,
    authz::{Action, Resource},
    ids::ProjectId,
    limits,
};
use store::{
    notify::{self, Wake},
    project_limit::{self, ProjectLimits},
};

use crate::{Caller, Control, change::Begun};

impl Control {
    /// Returns the project's limits.
    pub async fn show_limits(&self, caller: &Caller) -> Result<ProjectLimits, Error> {
        caller.check(Action::GetProject, [Resource::Everything])?;
        self.limits_of(caller.project_id()).await
    }

    async fn limits_of(&self, project_id: &ProjectId) -> Result<ProjectLimits, Error> {
        Ok(project_limit::fetch(&mut *self.store.acquire().await?, project_id).await?)
    }

    /// Sets or removes (`Some(None)`) the given limits; other limits stay unchanged. Returns all
    /// limits.
    pub async fn update_limits(
        &self,
        caller: &Caller,
        max_in_flight: Option<Option<i64>>,
        max_running_per_desktop: Option<Option<i64>>,
        audit_reads: Option<bool>,
    ) -> Result<ProjectLimits, Error> {
        caller.check(Action::PutLimits, [Resource::Everything])?;
        let in_flight =
            max_in_flight.map(|most| most.map(limits::project_in_flight).transpose()).transpose()?;
        let running = max_running_per_desktop
            .map(|most| most.map(limits::running_per_desktop).transpose())
            .transpose()?;
        let project_id = caller.project_id();
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.limits_of(project_id).await,
        };
        let before = project_limit::lock(&mut tx, project_id).await?;
        let limits = ProjectLimits {
            max_in_flight: in_flight.unwrap_or(before.max_in_flight),
            max_running_per_desktop: running.unwrap_or(before.max_running_per_desktop),
            audit_reads: audit_reads.unwrap_or(before.audit_reads),
        };
        project_limit::put(&mut tx, project_id, limits).await?;
        notify::send(&mut tx, Wake::Admit).await?;
        let details = changed(Some(&before), Some(&limits))?;
        let resource = format!("project:{project_id}");
        self.done_with(tx, caller, Action::PutLimits, &resource, &details, "changed").await?;
        Ok(limits)
    }

    /// Sets all limits; `None` removes one, and leaves `audit_reads` unchanged. Targets that are
    /// already in flight are not affected. Returns the stored limits.
    pub async fn put_limits(
        &self,
        caller: &Caller,
        max_in_flight: Option<i64>,
        max_running_per_desktop: Option<i64>,
        audit_reads: Option<bool>,
    ) -> Result<ProjectLimits, Error> {
        self.update_limits(caller, Some(max_in_flight), Some(max_running_per_desktop), audit_reads).await
    }
}
