//! The actor of an access change: a database command, or a caller of the API. Both follow the same
//! rules, and the audit records which of them acted.

use domain::{
    Error, Reason,
    audit::NO_DETAILS,
    authz::{Action, Resource},
    ids::ProjectId,
};

use super::{Caller, outsider::Outsider};
use crate::{
    Control,
    change::{Begun, Change},
};

/// Actor that manages the access to a project.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// A database command. Access to the database is its only permission check.
    Database(&'a ProjectId),
    /// A caller of the API, limited by its policies.
    Caller(&'a Caller),
}

impl<'a> Actor<'a> {
    /// Returns the managed project: the caller's own project, or the project that the command
    /// names.
    pub(super) fn project_id(self) -> &'a ProjectId {
        match self {
            Self::Database(project_id) => project_id,
            Self::Caller(caller) => caller.project_id(),
        }
    }

    /// Checks that the actor may perform an action that grants no additional rights.
    pub(super) fn check(self, action: Action) -> Result<(), Error> {
        match self {
            Self::Database(_) => Ok(()),
            Self::Caller(caller) => caller.check(action, [Resource::Everything]),
        }
    }

    /// Checks that the actor may perform an action on one resource that grants no additional
    /// rights.
    pub(super) fn check_on(self, action: Action, resource: Resource<'_>) -> Result<(), Error> {
        match self {
            Self::Database(_) => Ok(()),
            Self::Caller(caller) => caller.check(action, [resource]),
        }
    }

    /// Checks that the actor may perform an action that can grant arbitrary rights.
    pub(super) fn check_giving(self, action: Action) -> Result<(), Error> {
        match self {
            Self::Database(_) => Ok(()),
            Self::Caller(caller) => caller.identity.rights.check_giving(action),
        }
    }
}

impl Control {
    /// Begins the transaction of an access change. Returns the stored answer of a repeated request.
    pub(super) async fn begin_managed(&self, actor: Actor<'_>) -> Result<Begun, Error> {
        match actor {
            Actor::Caller(caller) => self.begin_change(caller).await,
            Actor::Database(_) => Ok(Begun::New(Change::new(self.store.begin().await?))),
        }
    }

    /// Begins the transaction of a change whose response contains a secret. The secret is shown
    /// once and not stored, so a repeated request could not return the same response: an
    /// idempotency key is refused.
    pub(super) async fn begin_unrepeatable(&self, actor: Actor<'_>) -> Result<Change, Error> {
        let refused = || {
            Error::field(
                Reason::FieldUnsupported,
                "idempotency_key",
                "not supported here: the response contains a secret, which is shown once and not stored. \
                 If a response was lost, revoke the listed credential and create another",
            )
        };
        if matches!(actor, Actor::Caller(Caller { idempotency: Some(_), .. })) {
            return Err(refused());
        }
        match self.begin_managed(actor).await? {
            Begun::New(tx) => Ok(tx),
            Begun::Repeated(_) => Err(refused()),
        }
    }

    /// Commits an access change together with its audit entry and the answer to a repetition.
    pub(super) async fn managed(
        &self,
        tx: Change,
        actor: Actor<'_>,
        action: Action,
        resource: &str,
        answer: &str,
    ) -> Result<(), Error> {
        self.managed_with(tx, actor, action, resource, NO_DETAILS, answer).await
    }

    /// Does the same as [`Self::managed`], with details in the audit entry.
    pub(super) async fn managed_with(
        &self,
        tx: Change,
        actor: Actor<'_>,
        action: Action,
        resource: &str,
        details: &str,
        answer: &str,
    ) -> Result<(), Error> {
        match actor {
            Actor::Caller(caller) => self.done_with(tx, caller, action, resource, details, answer).await,
            Actor::Database(project_id) => {
                let (tx, by) = (tx.into_tx(), Outsider::Database);
                self.done_outside_with(tx, by, project_id, action.as_str(), resource, details).await
            }
        }
    }
}
