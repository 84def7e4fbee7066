//! Changes: applied once per idempotency key, and audited in their own transaction.

use chrono::TimeDelta;
use domain::{
    Error, Reason,
    audit::{NO_DETAILS, justified},
    authz::Action,
    ids::TaskId,
};
use store::{
    audit,
    audit::NewEntry,
    idempotency::{self, Claim, Key},
};

use crate::{
    Caller, Control,
    access::Idempotency,
    change::{Begun, Change},
    lookup,
};

/// Time for which a key is stored.
const KEY_RETENTION: TimeDelta = TimeDelta::hours(24);

fn key<'a>(caller: &'a Caller, idempotency: &'a Idempotency) -> Key<'a> {
    Key { project_id: caller.project_id(), principal: &caller.identity.principal, text: idempotency.text() }
}

impl Control {
    /// Begins the transaction of a change, and claims the request's idempotency key in it.
    pub(crate) async fn begin_change(&self, caller: &Caller) -> Result<Begun, Error> {
        let mut tx = self.store.begin().await?;
        let Some(idempotency) = &caller.idempotency else { return Ok(Begun::New(Change::new(tx))) };
        let expires_at = self.environment.now() + KEY_RETENTION;
        let key = key(caller, idempotency);
        let claim = idempotency::claim(&mut tx, key, idempotency.request_sha256(), expires_at).await?;
        match claim {
            Claim::Fresh => Ok(Begun::New(Change::new(tx))),
            Claim::Used { request_sha256, result } if request_sha256 == idempotency.request_sha256() => {
                Ok(Begun::Repeated(result))
            }
            Claim::Used { .. } => Err(Error::new(
                Reason::IdempotencyKeyReused,
                "this idempotency key was used for another request: choose a new key for a new request",
            )),
        }
    }

    /// Begins the transaction of a change to a task of the caller's project. Returns `None` for a
    /// repeated request, whose change is already applied.
    pub(crate) async fn begin_task_change(
        &self,
        caller: &Caller,
        task_id: TaskId,
    ) -> Result<Option<Change>, Error> {
        let Begun::New(mut tx) = self.begin_change(caller).await? else { return Ok(None) };
        lookup::task(&mut tx, caller, task_id).await?;
        Ok(Some(tx))
    }

    /// Commits a change with its audit entry and, if the request has an idempotency key, its
    /// answer.
    pub(crate) async fn done(
        &self,
        tx: Change,
        caller: &Caller,
        action: Action,
        resource: &str,
        answer: &str,
    ) -> Result<(), Error> {
        self.done_with(tx, caller, action, resource, NO_DETAILS, answer).await
    }

    /// Does the same as [`Self::done`], with details in the audit entry.
    pub(crate) async fn done_with(
        &self,
        tx: Change,
        caller: &Caller,
        action: Action,
        resource: &str,
        details: &str,
        answer: &str,
    ) -> Result<(), Error> {
        let entry = NewEntry { resource, details, ..self.entry(caller, action) };
        self.done_as(tx, caller, &entry, answer).await
    }

    /// Does the same as [`Self::done`], with this audit entry. Adds the caller's reason and ticket
    /// to its details.
    pub(crate) async fn done_as(
        &self,
        mut tx: Change,
        caller: &Caller,
        entry: &NewEntry<'_>,
        answer: &str,
    ) -> Result<(), Error> {
        if let Some(idempotency) = &caller.idempotency {
            idempotency::finish(&mut tx, key(caller, idempotency), answer).await?;
        }
        let details = justified(entry.details, &caller.justification)?;
        audit::insert(&mut tx, &NewEntry { details: &details, ..entry.clone() }).await?;
        Ok(self.store.commit(tx.into_tx()).await?)
    }
}
