//! Scripts: create, list, show, update, delete.

use domain::{
    Error,
    ids::{ProjectId, ScriptId, TaskId},
    page::Page,
    script::{ScriptBody, ScriptType},
};
use store::script::{self, ScriptFilter, ScriptRow};

use crate::Control;

fn missing(script_id: ScriptId) -> Error {
    Error::not_found(format!("script {script_id} does not exist"))
}

impl Control {
    /// Saves a new script.
    pub async fn create_script(
        &self,
        project_id: &ProjectId,
        script_type: ScriptType,
        body: &ScriptBody,
    ) -> Result<ScriptId, Error> {
        let script_id = ScriptId(self.clock.id());
        let mut tx = self.store.begin().await?;
        script::insert(&mut tx, project_id, script_id, script_type, body, self.clock.now()).await?;
        self.store.commit(tx).await?;
        Ok(script_id)
    }

    /// One page of scripts.
    pub async fn list_scripts(
        &self,
        project_id: &ProjectId,
        filter: &ScriptFilter,
        page: Page,
    ) -> Result<(i64, Vec<ScriptRow>), Error> {
        Ok(script::list(&mut *self.store.acquire().await?, project_id, filter, page).await?)
    }

    /// One script with its content; as a task ran it, when one is named.
    pub async fn show_script(
        &self,
        project_id: &ProjectId,
        script_id: ScriptId,
        task_id: Option<TaskId>,
    ) -> Result<ScriptRow, Error> {
        let mut connection = self.store.acquire().await?;
        script::fetch(&mut connection, project_id, script_id, task_id).await?.ok_or_else(|| match task_id {
            Some(task_id) => Error::not_found(format!("task {task_id} did not run a script {script_id}")),
            None => missing(script_id),
        })
    }

    /// Saves a new revision; the type stays.
    pub async fn update_script(
        &self,
        project_id: &ProjectId,
        script_id: ScriptId,
        body: &ScriptBody,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        if !script::update(&mut tx, project_id, script_id, body, self.clock.now()).await? {
            return Err(missing(script_id));
        }
        Ok(self.store.commit(tx).await?)
    }

    /// Deletes a script. Tasks that pinned it keep its revisions.
    pub async fn delete_script(&self, project_id: &ProjectId, script_id: ScriptId) -> Result<(), Error> {
        let now = self.clock.now();
        if script::delete(&mut *self.store.acquire().await?, project_id, script_id, now).await? {
            Ok(())
        } else {
            Err(missing(script_id))
        }
    }
}
