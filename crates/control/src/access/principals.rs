//! Principals and policies: their management by the people who run the cluster.

use domain::{
    Error, Reason,
    audit::changed,
    authz::{Action, Policy, READY_POLICIES, ready_policy},
    ids::ProjectId,
    limits, person,
};
use store::{Connection, project, project::PrincipalRow};

use super::Actor;
use crate::{Control, change::Begun};

const MAX_NAME_CHARS: usize = 128;
/// Principal names that the audit uses for actors outside the project.
const RESERVED_PRINCIPALS: [&str; 4] = ["database", "configuration", "enrolment", "certificate"];
/// Page length for commands that print the complete list.
pub const NO_LIMIT: i64 = i64::MAX;

/// Returns whether a text is a valid name. An invalid one must not reach the database, whose texts
/// cannot contain NUL.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

pub(super) fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    if is_name(name) {
        return Ok(());
    }
    let message = format!("must have 1 to {MAX_NAME_CHARS} characters, none of them a control character");
    Err(Error::out_of_range(field, message))
}

fn no_project(project_id: &ProjectId) -> Error {
    Error::new(
        Reason::ProjectNotFound,
        format!(
            "project {project_id} is not in the database, or is revoked: `graywave admin projects create {project_id}` makes it. \
         Credentials of the configuration need no project there, but principals, policies, tokens and keys do"
        ),
    )
}

/// Checks that a project exists and is not revoked. For reads.
pub(super) async fn check_project(connection: &mut Connection, project_id: &ProjectId) -> Result<(), Error> {
    if project::is_good(connection, project_id).await? { Ok(()) } else { Err(no_project(project_id)) }
}

/// Locks a valid project for a change, so that its state stays until the commit.
pub(super) async fn suspend_project(
    connection: &mut Connection,
    project_id: &ProjectId,
) -> Result<(), Error> {
    if project::hold(connection, project_id).await? { Ok(()) } else { Err(no_project(project_id)) }
}

impl Control {
    /// Creates a principal, or replaces the policies of an existing one.
    pub async fn put_principal(
        &self,
        actor: Actor<'_>,
        principal: &str,
        policies: &[String],
    ) -> Result<PrincipalRow, Error> {
        actor.check_giving(Action::PutPrincipal)?;
        check_name("principal", principal)?;
        if RESERVED_PRINCIPALS.contains(&principal) {
            let message = format!("must not be {principal}: the audit uses this name for another actor");
            return Err(Error::invalid("principal", message));
        }
        if policies.len() > limits::MAX_POLICIES_PER_PRINCIPAL {
            let message = format!("at most {} policies are allowed", limits::MAX_POLICIES_PER_PRINCIPAL);
            return Err(Error::out_of_range("policies", message));
        }
        let project_id = actor.project_id();
        let mut tx = match self.begin_managed(actor).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.principal_after(project_id, principal).await,
        };
        suspend_project(&mut tx, project_id).await?;
        let own = project::list_policies(&mut tx, project_id, None, NO_LIMIT).await?;
        for name in policies {
            if ready_policy(name).is_none() && !own.iter().any(|(known, _)| known == name) {
                return Err(Error::field(
                    Reason::PolicyNotFound,
                    "policies",
                    format!(
                        "policy {name:?} does not exist: ready are {}; `graywave policies put` or \
                     `graywave admin policies put`, or PUT /access/policies/NAME, makes others",
                        READY_POLICIES.join(", ")
                    ),
                ));
            }
        }
        let before = project::policies_of(&mut tx, project_id, principal).await?;
        if before.is_none() && person::is_person(principal) {
            let message = "must not begin with oidc: only a sign-in with an identity provider creates such a \
                           principal";
            return Err(Error::invalid("principal", message));
        }
        let row =
            project::put_principal(&mut tx, project_id, principal, policies, self.environment.now()).await?;
        let resource = format!("principal:{principal} policies:{}", policies.join(","));
        let details = changed(before.as_ref(), Some(&row.policies))?;
        self.managed_with(tx, actor, Action::PutPrincipal, &resource, &details, "").await?;
        Ok(row)
    }

    async fn principal_after(&self, project_id: &ProjectId, principal: &str) -> Result<PrincipalRow, Error> {
        let mut connection = self.store.acquire().await?;
        let rows = project::list_principals(&mut connection, project_id, None, NO_LIMIT).await?;
        let found = rows.into_iter().find(|row| row.principal == principal);
        found.ok_or_else(|| {
            let message = format!("principal {principal:?} does not exist in project {project_id}");
            Error::field(Reason::PrincipalNotFound, "principal", message)
        })
    }

    /// Lists a project's principals by name, starting after `after`.
    pub async fn list_principals(
        &self,
        actor: Actor<'_>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<PrincipalRow>, Error> {
        actor.check(Action::ListPrincipals)?;
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, actor.project_id()).await?;
        Ok(project::list_principals(&mut connection, actor.project_id(), after, limit).await?)
    }

    /// Stores a custom policy of a project under a name. Replaces a policy of the same name.
    pub async fn put_policy(&self, actor: Actor<'_>, name: &str, document: &str) -> Result<Policy, Error> {
        actor.check_giving(Action::PutPolicy)?;
        check_name("name", name)?;
        if ready_policy(name).is_some() {
            return Err(Error::new(
                Reason::PolicyReadyMade,
                format!("{name} is a ready policy and cannot be replaced: choose another name"),
            ));
        }
        let policy = Policy::parse(document).map_err(|error| error.within("document"))?;
        let project_id = actor.project_id();
        let Begun::New(mut tx) = self.begin_managed(actor).await? else { return Ok(policy) };
        suspend_project(&mut tx, project_id).await?;
        let before = project::policy(&mut tx, project_id, name).await?;
        project::put_policy(&mut tx, project_id, name, &policy, self.environment.now()).await?;
        let details = changed(before.as_ref(), Some(&policy))?;
        let resource = format!("policy:{name}");
        self.managed_with(tx, actor, Action::PutPolicy, &resource, &details, "").await?;
        Ok(policy)
    }

    /// Lists the policies that a project may use, starting after `after`: ready-made policies
    /// first, then custom ones by name.
    pub async fn list_policies(
        &self,
        actor: Actor<'_>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<(String, Policy)>, Error> {
        actor.check(Action::ListPolicies)?;
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, actor.project_id()).await?;
        let shown = after.map_or(Some(0), |after| {
            READY_POLICIES.iter().position(|&name| name == after).map(|place| place + 1)
        });
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found: Vec<(String, Policy)> = READY_POLICIES
            .iter()
            .skip(shown.unwrap_or(READY_POLICIES.len()))
            .take(most)
            .filter_map(|&name| Some((name.to_owned(), ready_policy(name)?)))
            .collect();
        let rest = limit - i64::try_from(found.len()).unwrap_or(limit);
        // After a ready-made policy, all custom policies follow.
        let after = after.filter(|_| shown.is_none());
        found.extend(project::list_policies(&mut connection, actor.project_id(), after, rest).await?);
        Ok(found)
    }

    /// Deletes a policy that no principal uses.
    pub async fn delete_policy(&self, actor: Actor<'_>, name: &str) -> Result<(), Error> {
        actor.check(Action::DeletePolicy)?;
        let missing = || Error::new(Reason::PolicyNotFound, format!("policy {name:?} does not exist"));
        if !is_name(name) {
            return Err(missing());
        }
        if ready_policy(name).is_some() {
            let message = format!("{name} is a ready policy and cannot be deleted");
            return Err(Error::new(Reason::PolicyReadyMade, message));
        }
        let project_id = actor.project_id();
        let Begun::New(mut tx) = self.begin_managed(actor).await? else { return Ok(()) };
        suspend_project(&mut tx, project_id).await?;
        if let Some(principal) = project::policy_holder(&mut tx, project_id, name).await? {
            let message =
                format!("principal {principal:?} has the policy {name:?}: assign other policies to it first");
            return Err(Error::new(Reason::PolicyInUse, message));
        }
        let before = project::policy(&mut tx, project_id, name).await?;
        if !project::delete_policy(&mut tx, project_id, name).await? {
            return Err(missing());
        }
        let details = changed(before.as_ref(), None)?;
        let resource = format!("policy:{name}");
        self.managed_with(tx, actor, Action::DeletePolicy, &resource, &details, "").await
    }
}
