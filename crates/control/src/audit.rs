//! The audit. Changes are recorded in their own transaction (see `idempotency`), refusals here.

use domain::{
    Error, ErrorKind,
    audit::{DesktopSelection, ExecutionDetails, NO_DETAILS, ScriptDetails},
    authz::{Action, Resource},
    script::{parameter::ParameterValues, sha256},
};
use store::{
    Connection,
    audit::{self, AuditFilter, EntryRow, NewEntry},
    project_limit, script,
    task::{NewTask, PinnedScript, Selection},
};

use crate::{Caller, Control, Operator};

/// Maximum length of a source or a resource in an audit entry.
const MAX_KEPT_CHARS: usize = 256;

/// Truncates a text from a client to the length that the audit stores.
pub fn kept(text: &str) -> String {
    text.chars().take(MAX_KEPT_CHARS).collect()
}

/// Joins the known parts of a call's origin into one text.
pub fn source(parts: &[&str]) -> String {
    kept(&parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Formats the details of an accepted execution.
pub(crate) async fn execution_details(
    connection: &mut Connection,
    task: &NewTask<'_>,
) -> Result<String, Error> {
    let scripts = match task.command {
        Some((command_type, content)) => {
            let sha256 = hex::encode(sha256(command_type, content));
            vec![ScriptDetails {
                script_id: None,
                revision: None,
                sha256,
                parameters: ParameterValues::new(),
            }]
        }
        None => {
            let of_script = |it: &PinnedScript| it.script.map(|script| (script, it.parameters.clone()));
            let (pinned, parameters): (Vec<_>, Vec<_>) = task.scripts.iter().filter_map(of_script).unzip();
            let hashes = script::revision_hashes(connection, task.project_id, &pinned).await?;
            let script =
                |(((script_id, revision), sha256), parameters): ((_, Option<Vec<u8>>), _)| ScriptDetails {
                    script_id: Some(script_id),
                    revision: Some(revision),
                    sha256: sha256.map(hex::encode).unwrap_or_default(),
                    parameters,
                };
            pinned.into_iter().zip(hashes).zip(parameters).map(script).collect()
        }
    };
    let selection = match task.selection {
        None => DesktopSelection::Ids,
        Some(Selection::Pool(pool_id)) => DesktopSelection::Pool(pool_id),
        Some(Selection::Tag(tag)) => DesktopSelection::Tag(tag),
    };
    let details = ExecutionDetails {
        scripts,
        selection,
        plan: task.plan,
        run_as_user: task.policy.run_as_user.as_deref(),
        retry_of: task.retry_of.map(|old| old.task_id),
    };
    details.to_json()
}

impl Control {
    /// Records a call that returns the content of scripts or the output of records, if the project
    /// asks for it. Such a call fails if its entry cannot be stored.
    ///
    /// `objects` is the number of scripts or records. A call has one entry, however many it
    /// returns.
    pub(crate) async fn note_read(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        action: Action,
        resource: &str,
        objects: usize,
    ) -> Result<(), Error> {
        if !project_limit::audits_reads(connection, caller.project_id()).await? {
            return Ok(());
        }
        let details = domain::audit::read(objects)?;
        let entry = NewEntry { resource, details: &details, ..self.entry(caller, action) };
        Ok(audit::insert(connection, &entry).await?)
    }

    /// Creates the entry of a successful change.
    pub(crate) fn entry<'a>(&self, caller: &'a Caller, action: Action) -> NewEntry<'a> {
        NewEntry {
            audit_id: self.environment.id(),
            project_id: Some(caller.project_id()),
            at: self.environment.now(),
            principal: &caller.identity.principal,
            credential: &caller.identity.credential,
            action: action.as_str(),
            resource: "",
            result: "DONE",
            reason: "",
            source: &caller.source,
            request_id: &caller.request_id,
            details: NO_DETAILS,
        }
    }

    /// Records a failed call: every refusal, and every failure of a call that would have changed
    /// data. An entry that cannot be stored goes to the log.
    pub async fn note_failure(
        &self,
        caller: &Caller,
        action: Action,
        changes: bool,
        resource: &str,
        (kind, reason): (ErrorKind, &str),
    ) {
        // Rate-limited calls are not audited: an entry for each one would let any caller fill the
        // audit.
        let is_worth_it = changes || kind == ErrorKind::Forbidden;
        if !is_worth_it || kind == ErrorKind::TooMany {
            return;
        }
        if let Err(error) = self.audit_failure(caller, action, resource, kind, reason).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a refusal could not be audited");
        }
    }

    async fn audit_failure(
        &self,
        caller: &Caller,
        action: Action,
        resource: &str,
        kind: ErrorKind,
        reason: &str,
    ) -> Result<(), Error> {
        let result = match kind {
            ErrorKind::Internal | ErrorKind::Unavailable => "FAILED",
            _ => "REFUSED",
        };
        let reason = reason.replace(char::is_control, "?");
        let entry = NewEntry { resource, result, reason: &reason, ..self.entry(caller, action) };
        Ok(audit::insert(&mut *self.store.acquire().await?, &entry).await?)
    }

    /// Lists entries of the cluster, which belong to no project, newest first.
    pub async fn list_cluster_audit(
        &self,
        _: &Operator,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<EntryRow>, Error> {
        Ok(audit::list(&mut *self.store.acquire().await?, None, filter, limit).await?)
    }

    /// Lists entries of the caller's project, newest first.
    pub async fn list_audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<EntryRow>, Error> {
        caller.check(Action::ListAudit, [Resource::Everything])?;
        self.list(caller.project_id(), async |connection| {
            Ok(audit::list(connection, Some(caller.project_id()), filter, limit).await?)
        })
        .await
    }
}
