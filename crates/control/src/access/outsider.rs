//! Actors that belong to no project: a database command, or an operator with a certificate.

use domain::{Error, audit::NO_DETAILS, ids::ProjectId};
use store::{
    Tx,
    audit::{self, NewEntry},
};

use crate::Control;

/// A caller with a certificate of the role admin and no token. It belongs to no project, so it can
/// neither read nor change data of a project.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Name from the certificate.
    pub certificate: String,
    /// Address and user agent, for the audit.
    pub source: String,
    /// Request id, for the audit.
    pub request_id: String,
}

/// Actor that the audit records for a database command or an operator.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outsider<'a> {
    Database,
    Operator(&'a Operator),
}

impl<'a> Outsider<'a> {
    /// Returns the name that events and freezes use.
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
    /// Commits a change by an operator that belongs to no project, with an entry in the cluster's
    /// audit.
    pub(crate) async fn done_in_cluster(
        &self,
        mut tx: Tx,
        operator: &Operator,
        action: &str,
        resource: &str,
    ) -> Result<(), Error> {
        let entry = self.outside_entry(None, action, resource, NO_DETAILS);
        audit::insert(&mut tx, &Outsider::Operator(operator).entry(entry)).await?;
        Ok(self.store.commit(tx).await?)
    }

    pub(super) fn outside_entry<'a>(
        &self,
        project_id: Option<&'a ProjectId>,
        action: &'a str,
        resource: &'a str,
        details: &'a str,
    ) -> NewEntry<'a> {
        NewEntry {
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
            details,
        }
    }

    /// Commits a change by an actor outside the project, with an entry in the project's audit.
    pub(super) async fn done_outside(
        &self,
        tx: Tx,
        by: Outsider<'_>,
        project_id: &ProjectId,
        action: &str,
        resource: &str,
    ) -> Result<(), Error> {
        self.done_outside_with(tx, by, project_id, action, resource, NO_DETAILS).await
    }

    /// Does the same as [`Self::done_outside`], with details in the entry.
    pub(super) async fn done_outside_with(
        &self,
        mut tx: Tx,
        by: Outsider<'_>,
        project_id: &ProjectId,
        action: &str,
        resource: &str,
        details: &str,
    ) -> Result<(), Error> {
        let entry = by.entry(self.outside_entry(Some(project_id), action, resource, details));
        audit::insert(&mut tx, &entry).await?;
        Ok(self.store.commit(tx).await?)
    }
}
