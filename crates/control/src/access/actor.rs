//! Who manages access: the commands on the database, or a caller of the API. The rules are the same, and the audit says
//! which of the two it was.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::ProjectId,
};
use store::Tx;

use super::{Caller, outsider::Outsider};
use crate::Control;

/// Who manages the access to a project.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// The commands, for whoever may reach the database: that is all they ask for.
    Database(&'a ProjectId),
    /// A caller of the API, as far as its policies go.
    Caller(&'a Caller),
}

impl<'a> Actor<'a> {
    /// The project that is managed; of a caller its own.
    pub(super) fn project_id(self) -> &'a ProjectId {
        match self {
            Self::Database(project_id) => project_id,
            Self::Caller(caller) => caller.project_id(),
        }
    }

    /// Whether the actor may do this, which gives nobody more rights than before.
    pub(super) fn check(self, action: Action) -> Result<(), Error> {
        match self {
            Self::Database(_) => Ok(()),
            Self::Caller(caller) => caller.check(action, [Resource::Everything]),
        }
    }

    /// Whether the actor may do this to one thing, which gives nobody more rights than before.
    pub(super) fn check_on(self, action: Action, resource: Resource<'_>) -> Result<(), Error> {
        match self {
            Self::Database(_) => Ok(()),
            Self::Caller(caller) => caller.check(action, [resource]),
        }
    }

    /// Whether the actor may do this, which can give any right to anybody.
    pub(super) fn check_giving(self, action: Action) -> Result<(), Error> {
        match self {
            Self::Database(_) => Ok(()),
            Self::Caller(caller) => caller.identity.rights.check_giving(action),
        }
    }

    /// Refuses to remember an answer that holds a secret: a key's or token's is shown once and kept nowhere, so the same
    /// request could not be answered the same.
    pub(super) fn check_not_repeatable(self) -> Result<(), Error> {
        match self {
            Self::Caller(Caller { idempotency: Some(_), .. }) => Err(Error::field(
                Reason::FieldUnsupported,
                "idempotency_key",
                "not supported here: the answer holds a secret, which is shown once and not kept. If an answer was \
                 lost, revoke what the list shows and create another",
            )),
            Self::Database(_) | Self::Caller(_) => Ok(()),
        }
    }
}

impl Control {
    /// Commits a change of somebody who manages access, with its entry in the audit.
    pub(super) async fn managed(
        &self,
        tx: Tx,
        actor: Actor<'_>,
        action: Action,
        resource: &str,
    ) -> Result<(), Error> {
        match actor {
            Actor::Caller(caller) => self.done(tx, caller, action, resource, "").await,
            Actor::Database(project_id) => {
                self.done_outside(tx, Outsider::Database, project_id, action.as_str(), resource).await
            }
        }
    }
}
