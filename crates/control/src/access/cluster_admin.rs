//! Cluster administration: changes that belong to no project, by database commands or with a
//! certificate of the role admin.

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

/// Freeze reason of a revoked project.
const REVOKED: &str = "the project is revoked";

impl Control {
    /// Creates a project. An empty `name` defaults to the project id.
    pub async fn create_project(&self, project_id: &ProjectId, name: &str) -> Result<(), Error> {
        self.make_project(Outsider::Database, project_id, name).await.map(drop)
    }

    /// Creates a project on behalf of an operator.
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
        project_id.check_new()?;
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

    /// Lists all projects in the order of their creation.
    pub async fn list_projects(&self) -> Result<Vec<ProjectRow>, Error> {
        Ok(project::list(&mut *self.store.acquire().await?).await?)
    }

    /// Lists at most `limit` projects by id, starting after `after`.
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

    /// Revokes a project: refuses all its credentials and freezes it, because no caller of the
    /// project could stop its rollouts. Its rows stay.
    pub async fn revoke_project(&self, project_id: &ProjectId) -> Result<(), Error> {
        self.end_project(Outsider::Database, project_id).await
    }

    /// Does the same as [`Self::revoke_project`] on behalf of an operator.
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
        let freeze = FreezeRow {
            frozen_at: now,
            frozen_by: actor.clone(),
            reason: REVOKED.to_owned(),
            ticket: String::new(),
        };
        // An existing freeze of the project stays unchanged.
        let is_news = project_limit::set_frozen(&mut tx, project_id, &freeze).await?;
        let resource = format!("project:{project_id}");
        self.done_outside(tx, by, project_id, "graywave:projects:revoke", &resource).await?;
        // Waits for admissions that began before the commit. If this process dies first, a
        // scheduler completes the suspension.
        self.suspend_project(project_id, is_news.then_some(Freeze { actor: &actor, reason: REVOKED })).await
    }

    /// Accepts the credentials of a revoked project again. The project stays frozen until a caller
    /// of the project unfreezes it.
    pub async fn unrevoke_project(&self, project_id: &ProjectId) -> Result<(), Error> {
        self.accept_project(Outsider::Database, project_id).await
    }

    /// Does the same as [`Self::unrevoke_project`] on behalf of an operator.
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

    /// Stops every task of a project that has not ended, whether or not the project is revoked.
    /// Returns the number of tasks.
    pub async fn stop_project(&self, project_id: &ProjectId, mode: StopMode) -> Result<usize, Error> {
        self.stop_tasks(Outsider::Database, project_id, mode).await
    }

    /// Does the same as [`Self::stop_project`] on behalf of an operator.
    pub async fn stop_project_by(
        &self,
        operator: &Operator,
        project_id: &ProjectId,
        mode: StopMode,
    ) -> Result<usize, Error> {
        self.stop_tasks(Outsider::Operator(operator), project_id, mode).await
    }

    /// Uses one transaction per task: tasks that are stopped stay stopped if a later one fails.
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
        let reason = format!("stopped by {} (cluster administration)", by.name());
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
