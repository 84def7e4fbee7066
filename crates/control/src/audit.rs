//! The audit: changes are noted in their own transaction (see `once`), what was refused here.

use domain::{
    Error, ErrorKind,
    access::{Action, Resource},
};
use store::audit::{self, AuditFilter, EntryRow, NewEntry};

use crate::{Caller, Control};

impl Control {
    /// An entry for something that was done.
    pub(crate) fn entry<'a>(&self, caller: &'a Caller, action: Action) -> NewEntry<'a> {
        NewEntry {
            audit_id: self.clock.id(),
            project_id: caller.project_id(),
            at: self.clock.now(),
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

    /// Notes a call that was not done, and why.
    pub async fn audit_failure(
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
