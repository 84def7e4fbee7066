//! The audit: changes are noted in their own transaction (see `once`), what was refused here.

use domain::{
    Error, ErrorKind,
    authz::{Action, Resource},
};
use store::audit::{self, AuditFilter, EntryRow, NewEntry};

use crate::{Caller, Control};

/// Characters of what the audit keeps of where a call comes from and what it asked for.
const MAX_KEPT_CHARS: usize = 256;

/// As much of a text that a client sent as the audit keeps.
pub fn kept(text: &str) -> String {
    text.chars().take(MAX_KEPT_CHARS).collect()
}

/// Where a call comes from, in one text, of the parts that are known.
pub fn source(parts: &[&str]) -> String {
    kept(&parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

impl Control {
    /// An entry for something that was done.
    pub(crate) fn entry<'a>(&self, caller: &'a Caller, action: Action) -> NewEntry<'a> {
        NewEntry {
            audit_id: self.environment.id(),
            project_id: caller.project_id(),
            at: self.environment.now(),
            principal: &caller.identity.principal,
            credential: &caller.identity.credential,
            action: action.as_str(),
            resource: "",
            result: "DONE",
            reason: "",
            source: &caller.source,
            request_id: &caller.request_id,
        }
    }

    /// Notes a call that was not done: what was refused, and what failed of what would have changed something. An entry that cannot
    /// be made is in the log.
    pub async fn note_failure(
        &self,
        caller: &Caller,
        action: Action,
        changes: bool,
        resource: &str,
        (kind, reason): (ErrorKind, &str),
    ) {
        // What comes too often is told to the caller and the log: an entry for each would let anybody fill the audit.
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

    /// Entries of the caller's project, newest first.
    pub async fn list_audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<EntryRow>, Error> {
        caller.check(Action::ListAudit, [Resource::Everything])?;
        Ok(audit::list(&mut *self.store.acquire().await?, caller.project_id(), filter, limit).await?)
    }
}
