//! Scripts and their revisions: create, list, show, update and delete.

use domain::{
    Error, Reason,
    authz::{ALL, Action, Resource},
    ids::ScriptId,
    page::Page,
    script::{ScriptBody, ScriptType, parameter::Parameter},
};
use store::script::{self, RevisionRow, RevisionSelector, ScriptFilter, ScriptRow};

use crate::{Caller, Control, change::Begun};

/// Fields of a script to replace; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct ScriptPatch {
    /// New name.
    pub name: Option<String>,
    /// New content.
    pub content: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New version, as free text.
    pub version: Option<String>,
    /// New declarations of parameters.
    pub parameters: Option<Vec<Parameter>>,
}

fn missing(script_id: ScriptId) -> Error {
    Error::new(Reason::ScriptNotFound, format!("script {script_id} does not exist"))
}

fn check(caller: &Caller, action: Action, script_id: ScriptId) -> Result<(), Error> {
    caller.check(action, [Resource::Script(&script_id.to_string())])
}

/// Parses the stored answer of a save.
fn parse_revision(answer: &str) -> Result<i32, Error> {
    answer.parse().map_err(|error: std::num::ParseIntError| Error::internal().with_source(error))
}

fn name(script_id: ScriptId) -> String {
    format!("script:{script_id}")
}

impl Control {
    /// Stores a new script.
    pub async fn create_script(
        &self,
        caller: &Caller,
        script_type: ScriptType,
        body: &ScriptBody,
    ) -> Result<ScriptId, Error> {
        caller.check(Action::CreateScript, [Resource::Script(ALL)])?;
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return answer.parse(),
        };
        let script_id = ScriptId(self.environment.id());
        let now = self.environment.now();
        let created_by = &caller.identity.principal;
        script::insert(&mut tx, caller.project_id(), script_id, script_type, body, created_by, now).await?;
        self.done(tx, caller, Action::CreateScript, &name(script_id), &script_id.to_string()).await?;
        Ok(script_id)
    }

    /// Lists one page of scripts, with the total number.
    pub async fn list_scripts(
        &self,
        caller: &Caller,
        filter: &ScriptFilter,
        page: Page,
    ) -> Result<(i64, Vec<ScriptRow>), Error> {
        caller.check(Action::ListScripts, [Resource::Script(ALL)])?;
        self.list(caller.project_id(), async |connection| {
            Ok(script::list(connection, caller.project_id(), filter, page).await?)
        })
        .await
    }

    /// Lists scripts without their content, newest first, starting after `before`.
    pub async fn page_scripts(
        &self,
        caller: &Caller,
        filter: &ScriptFilter,
        before: Option<ScriptId>,
        limit: i64,
    ) -> Result<Vec<ScriptRow>, Error> {
        caller.check(Action::ListScripts, [Resource::Script(ALL)])?;
        self.list(caller.project_id(), async |connection| {
            Ok(script::page(connection, caller.project_id(), filter, before, limit).await?)
        })
        .await
    }

    /// Shows one script with its content at a revision.
    pub async fn show_script(
        &self,
        caller: &Caller,
        script_id: ScriptId,
        at: RevisionSelector,
    ) -> Result<ScriptRow, Error> {
        check(caller, Action::GetScript, script_id)?;
        let found = self.script_after(caller, script_id, at).await?;
        let resource = format!("script:{script_id} revision:{}", found.revision);
        let mut connection = self.store.acquire().await?;
        self.note_read(&mut connection, caller, Action::GetScript, &resource, 1).await?;
        Ok(found)
    }

    /// Returns a script that the caller just saved. The right to save includes the right to see the
    /// result.
    pub async fn script_after(
        &self,
        caller: &Caller,
        script_id: ScriptId,
        at: RevisionSelector,
    ) -> Result<ScriptRow, Error> {
        let mut connection = self.store.acquire().await?;
        let found = script::fetch(&mut connection, caller.project_id(), script_id, at).await?;
        found.ok_or_else(|| match at {
            RevisionSelector::PinnedBy(task_id) => {
                Error::new(Reason::ScriptNotFound, format!("task {task_id} did not run a script {script_id}"))
            }
            RevisionSelector::Revision(revision) => Error::new(
                Reason::ScriptNotFound,
                format!("script {script_id} does not exist, or has no revision {revision}"),
            ),
            RevisionSelector::Current => missing(script_id),
        })
    }

    /// Lists revisions of a script, newest first, starting after `before`.
    pub async fn page_revisions(
        &self,
        caller: &Caller,
        script_id: ScriptId,
        before: Option<i32>,
        limit: i64,
    ) -> Result<Vec<RevisionRow>, Error> {
        check(caller, Action::GetScript, script_id)?;
        self.read_many(caller.project_id(), async |connection| {
            if script::current(connection, caller.project_id(), &[script_id]).await?.is_empty() {
                return Err(missing(script_id));
            }
            Ok(script::revisions(connection, caller.project_id(), script_id, before, limit).await?)
        })
        .await
    }

    /// Stores a new revision and returns its number. The script's type stays unchanged.
    pub async fn update_script(
        &self,
        caller: &Caller,
        script_id: ScriptId,
        body: &ScriptBody,
    ) -> Result<i32, Error> {
        check(caller, Action::PutScript, script_id)?;
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return parse_revision(&answer),
        };
        let saved =
            script::update(&mut tx, caller.project_id(), script_id, body, self.environment.now()).await?;
        let revision = saved.ok_or_else(|| missing(script_id))?;
        self.done(tx, caller, Action::PutScript, &name(script_id), &revision.to_string()).await?;
        Ok(revision)
    }

    /// Stores a new revision that applies the patch to the newest one, and returns its number.
    pub async fn patch_script(
        &self,
        caller: &Caller,
        script_id: ScriptId,
        patch: ScriptPatch,
    ) -> Result<i32, Error> {
        check(caller, Action::PutScript, script_id)?;
        let (project_id, now) = (caller.project_id(), self.environment.now());
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return parse_revision(&answer),
        };
        let before = script::fetch(&mut tx, project_id, script_id, RevisionSelector::Current).await?;
        let before = before.ok_or_else(|| missing(script_id))?;
        let body = ScriptBody::new(
            patch.name.or(Some(before.body.name)),
            patch.content.or(Some(before.body.content)),
            patch.description.or(Some(before.body.description)),
            patch.version.or(Some(before.body.version)),
        )?
        .with_parameters(Some(before.script_type), patch.parameters)?;
        let saved = script::update(&mut tx, project_id, script_id, &body, now).await?;
        let revision = saved.ok_or_else(|| missing(script_id))?;
        if revision != before.revision + 1 {
            return Err(Error::new(
                Reason::ConcurrentChange,
                format!("script {script_id} was changed concurrently: read the new revision and try again"),
            ));
        }
        self.done(tx, caller, Action::PutScript, &name(script_id), &revision.to_string()).await?;
        Ok(revision)
    }

    /// Deletes a script. Tasks that pinned its revisions keep them.
    pub async fn delete_script(&self, caller: &Caller, script_id: ScriptId) -> Result<(), Error> {
        check(caller, Action::DeleteScript, script_id)?;
        let Begun::New(mut tx) = self.begin_change(caller).await? else { return Ok(()) };
        if !script::delete(&mut tx, caller.project_id(), script_id, self.environment.now()).await? {
            return Err(missing(script_id));
        }
        self.done(tx, caller, Action::DeleteScript, &name(script_id), "").await
    }
}
