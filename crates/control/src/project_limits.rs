//! Limits over all tasks of a project.

use domain::{
    Error,
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

    /// Sets or removes (`None`) the given limits; other limits stay unchanged. Returns all limits.
    pub async fn update_limits(
        &self,
        caller: &Caller,
        max_in_flight: Option<Option<i64>>,
        max_running_per_desktop: Option<Option<i64>>,
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
        };
        project_limit::put(&mut tx, project_id, limits).await?;
        notify::send(&mut tx, Wake::Admit).await?;
        self.done(tx, caller, Action::PutLimits, &format!("project:{project_id}"), "changed").await?;
        Ok(limits)
    }

    /// Sets all limits; `None` removes one. Targets that are already in flight are not affected.
    pub async fn put_limits(
        &self,
        caller: &Caller,
        max_in_flight: Option<i64>,
        max_running_per_desktop: Option<i64>,
    ) -> Result<(), Error> {
        caller.check(Action::PutLimits, [Resource::Everything])?;
        let limits = ProjectLimits {
            max_in_flight: max_in_flight.map(limits::project_in_flight).transpose()?,
            max_running_per_desktop: max_running_per_desktop.map(limits::running_per_desktop).transpose()?,
        };
        let project_id = caller.project_id();
        let Begun::New(mut tx) = self.begin_change(caller).await? else { return Ok(()) };
        project_limit::put(&mut tx, project_id, limits).await?;
        notify::send(&mut tx, Wake::Admit).await?;
        self.done(tx, caller, Action::PutLimits, &format!("project:{project_id}"), "changed").await
    }
}
