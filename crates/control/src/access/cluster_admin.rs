//! Who manages what belongs to no project: by the commands on the database, or with a certificate of the role admin.

use domain::{Error, Reason, ids::ProjectId};
use engine::Freeze;
use store::{
    TaskRows, project,
    project::ProjectRow,
    project_limit::{self, FreezeRow},
    task,
};
use telemetry::metric;

use super::{
    outsider::{Operator, Outsider},
    principals::check_name,
};
use crate::{
    Control, StopMode,
    rollout::{self, ENGINE},
};

/// Why a revoked project is frozen.
const REVOKED: &str = "the project is revoked";

impl Control {
    /// Makes a project; where it has no name its id stands for one.
    pub async fn create_project(&self, project_id: &ProjectId, name: &str) -> Result<(), Error> {
        self.make_project(Outsider::Database, project_id, name).await.map(drop)
    }

    /// Makes a project for an operator.
    pub async fn create_project_by(
        &self,
        operator: &Operator,
        project_id: &ProjectId,
        name: &str,
    ) -> Result<ProjectRow, Error> {
        self.make_project(Outsider::Operator(operator), project_id, name).await
    }

    async fn make_project(
        &self,
        by: Outsider<'_>,
        project_id: &ProjectId,
        name: &str,
    ) -> Result<ProjectRow, Error> {
        let name = if name.is_empty() { project_id.as_str() } else { name };
        check_name("name", name)?;
        let mut tx = self.store.begin().await?;
        let now = self.environment.now();
        if !project::insert(&mut tx, project_id, name, now).await? {
            return Err(Error::new(Reason::AlreadyExists, format!("project {project_id} exists already")));
        }
        let resource = format!("project:{project_id}");
        self.done_outside(tx, by, project_id, "graywave:projects:create", &resource).await?;
        let (project_id, name) = (project_id.clone(), name.to_owned());
        Ok(ProjectRow { project_id, name, created_at: now, revoked_at: None })
    }

    /// All projects, in the order in which they were made.
    pub async fn list_projects(&self) -> Result<Vec<ProjectRow>, Error> {
        Ok(project::list(&mut *self.store.acquire().await?).await?)
    }

    /// Projects by id, from behind `after` on, at most `limit` of them.
    pub async fn page_projects(
        &self,
        _: &Operator,
        after: Option<&ProjectId>,
        limit: i64,
    ) -> Result<Vec<ProjectRow>, Error> {
        let mut rows = self.list_projects().await?;
        rows.retain(|row| after.is_none_or(|after| row.project_id > *after));
        rows.sort_by(|a, b| a.project_id.cmp(&b.project_id));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    /// Refuses every credential of a project from now on, and freezes it: nobody of the project could stop its rollouts.
    /// Its rows stay.
    pub async fn revoke_project(&self, project_id: &ProjectId) -> Result<(), Error> {
        self.end_project(Outsider::Database, project_id).await
    }

    /// As [`Self::revoke_project`], for an operator.
    pub async fn revoke_project_by(&self, operator: &Operator, project_id: &ProjectId) -> Result<(), Error> {
        self.end_project(Outsider::Operator(operator), project_id).await
    }

    async fn end_project(&self, by: Outsider<'_>, project_id: &ProjectId) -> Result<(), Error> {
        let now = self.environment.now();
        let mut tx = self.store.begin().await?;
        if !project::revoke(&mut tx, project_id, now).await? {
            return Err(Error::new(
                Reason::ProjectNotFound,
                format!("project {project_id} does not exist or is revoked already"),
            ));
        }
        let actor = by.name().to_owned();
        let freeze = FreezeRow { frozen_at: now, frozen_by: actor.clone(), reason: REVOKED.to_owned() };
        // A freeze of the project's own stays as it is.
        let is_news = project_limit::set_frozen(&mut tx, project_id, &freeze).await?;
        let resource = format!("project:{project_id}");
        self.done_outside(tx, by, project_id, "graywave:projects:revoke", &resource).await?;
        // Admissions under way before the commit are waited for. A scheduler does it if this process dies first.
        self.suspend_project(project_id, is_news.then_some(Freeze { actor: &actor, reason: REVOKED })).await
    }

    /// Accepts the credentials of a revoked project again. It stays frozen until somebody of the project unfreezes it.
    pub async fn unrevoke_project(&self, project_id: &ProjectId) -> Result<(), Error> {
        self.accept_project(Outsider::Database, project_id).await
    }

    /// As [`Self::unrevoke_project`], for an operator.
    pub async fn unrevoke_project_by(
        &self,
        operator: &Operator,
        project_id: &ProjectId,
    ) -> Result<(), Error> {
        self.accept_project(Outsider::Operator(operator), project_id).await
    }

    async fn accept_project(&self, by: Outsider<'_>, project_id: &ProjectId) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        if !project::unrevoke(&mut tx, project_id).await? {
            return Err(Error::new(
                Reason::ProjectNotFound,
                format!("project {project_id} does not exist or is not revoked"),
            ));
        }
        let resource = format!("project:{project_id}");
        self.done_outside(tx, by, project_id, "graywave:projects:unrevoke", &resource).await
    }

    /// Stops every task of a project that has not ended, whether the project is revoked or not; returns how many.
    pub async fn stop_project(&self, project_id: &ProjectId, mode: StopMode) -> Result<usize, Error> {
        self.stop_tasks(Outsider::Database, project_id, mode).await
    }

    /// As [`Self::stop_project`], for an operator.
    pub async fn stop_project_by(
        &self,
        operator: &Operator,
        project_id: &ProjectId,
        mode: StopMode,
    ) -> Result<usize, Error> {
        self.stop_tasks(Outsider::Operator(operator), project_id, mode).await
    }

    /// One transaction for each task: those that are stopped stay so, whatever becomes of the rest.
    async fn stop_tasks(
        &self,
        by: Outsider<'_>,
        project_id: &ProjectId,
        mode: StopMode,
    ) -> Result<usize, Error> {
        let mut connection = self.store.acquire().await?;
        let task_ids = task::unended(&mut connection, project_id).await?;
        if task_ids.is_empty() && !project::exists(&mut connection, project_id).await? {
            return Err(Error::new(Reason::ProjectNotFound, format!("project {project_id} does not exist")));
        }
        drop(connection);
        let reason = format!("stopped by {}, who manages projects", by.name());
        for &task_id in &task_ids {
            let mut tx = self.store.begin().await?;
            let is_kill = mode == StopMode::Kill;
            let (mut rows, now) = (TaskRows::new(&mut tx), self.environment.now());
            let decision = ENGINE.stop_task(&mut rows, task_id, is_kill, by.name(), &reason, now).await?;
            rollout::apply(&mut tx, &decision).await?;
            let resource = format!("task:{task_id}");
            self.done_outside(tx, by, project_id, "graywave:projects:stop", &resource).await?;
            rollout::report(&decision);
            metric::STOPS.increment(1, &["task", if is_kill { "kill" } else { "drain" }]);
        }
        Ok(task_ids.len())
    }
}
