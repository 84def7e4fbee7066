//! Who acts without belonging to a project: a command on the database, or an operator with a certificate.

use domain::{Error, ids::ProjectId};
use store::{
    Tx,
    audit::{self, NewEntry},
};

use crate::Control;

/// Whoever has shown a certificate of the role admin and no token. Belongs to no project, so it may see and change nothing
/// that belongs to one.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Who it is, by its certificate.
    pub certificate: String,
    /// Address and user agent, for the audit.
    pub source: String,
    /// Of the request, for the audit.
    pub request_id: String,
}

/// Who the audit says it was when a command, or an operator, did it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outsider<'a> {
    Database,
    Operator(&'a Operator),
}

impl<'a> Outsider<'a> {
    /// As events and freezes name it.
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Database => "database",
            Self::Operator(operator) => &operator.certificate,
        }
    }

    fn entry(self, entry: NewEntry<'a>) -> NewEntry<'a> {
        match self {
            Self::Database => NewEntry { principal: "database", credential: "database", ..entry },
            Self::Operator(operator) => NewEntry {
                principal: "certificate",
                credential: &operator.certificate,
                source: &operator.source,
                request_id: &operator.request_id,
                ..entry
            },
        }
    }
}

impl Control {
    /// Commits a change that nobody of the project made, with its entry in the project's audit.
    pub(super) async fn done_outside(
        &self,
        mut tx: Tx,
        by: Outsider<'_>,
        project_id: &ProjectId,
        action: &str,
        resource: &str,
    ) -> Result<(), Error> {
        let entry = by.entry(NewEntry {
            audit_id: self.environment.id(),
            project_id,
            at: self.environment.now(),
            principal: "",
            credential: "",
            action,
            resource,
            result: "DONE",
            reason: "",
            source: "",
            request_id: "",
        });
        audit::insert(&mut tx, &entry).await?;
        Ok(self.store.commit(tx).await?)
    }
}
