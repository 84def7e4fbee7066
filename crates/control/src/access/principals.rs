//! Principals and policies, as the people who run the cluster manage them.

use domain::{
    Error, Reason,
    authz::{Action, Policy, READY_POLICIES, ready_policy},
    ids::ProjectId,
    limits,
};
use store::{Connection, project, project::PrincipalRow};

use super::Actor;
use crate::Control;

const MAX_NAME_CHARS: usize = 128;
/// Who the audit names where no principal of the project is meant.
const RESERVED_PRINCIPALS: [&str; 4] = ["database", "configuration", "enrolment", "certificate"];
/// As the length of a page: all there are, for commands, which print them all.
pub const NO_LIMIT: i64 = i64::MAX;

/// Whether a name may be one of ours. What is not can be looked up nowhere: no text of the database holds a NUL.
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
            "project {project_id} is not in the database, or is revoked: `graywave projects create {project_id}` makes it. \
         Credentials of the configuration need no project there, but principals, policies, tokens and keys do"
        ),
    )
}

/// For what is only read.
pub(super) async fn check_project(connection: &mut Connection, project_id: &ProjectId) -> Result<(), Error> {
    if project::is_good(connection, project_id).await? { Ok(()) } else { Err(no_project(project_id)) }
}

/// For a change: what it looks at stays so until it is committed.
pub(super) async fn suspend_project(
    connection: &mut Connection,
    project_id: &ProjectId,
) -> Result<(), Error> {
    if project::hold(connection, project_id).await? { Ok(()) } else { Err(no_project(project_id)) }
}

impl Control {
    /// Makes a principal, or binds other policies to one that is there.
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
        let mut tx = self.store.begin().await?;
        suspend_project(&mut tx, project_id).await?;
        let own = project::list_policies(&mut tx, project_id, None, NO_LIMIT).await?;
        for name in policies {
            if ready_policy(name).is_none() && !own.iter().any(|(known, _)| known == name) {
                return Err(Error::field(
                    Reason::PolicyNotFound,
                    "policies",
                    format!(
                        "policy {name:?} does not exist: ready are {}; `graywave policies put`, or PUT \
                     /access/policies/NAME, makes others",
                        READY_POLICIES.join(", ")
                    ),
                ));
            }
        }
        let row =
            project::put_principal(&mut tx, project_id, principal, policies, self.environment.now()).await?;
        let resource = format!("principal:{principal} policies:{}", policies.join(","));
        self.managed(tx, actor, Action::PutPrincipal, &resource).await?;
        Ok(row)
    }

    /// A project's principals by name, from behind `after` on.
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

    /// Stores a policy of a project's own under a name, replacing one of that name.
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
        let mut tx = self.store.begin().await?;
        suspend_project(&mut tx, project_id).await?;
        project::put_policy(&mut tx, project_id, name, &policy, self.environment.now()).await?;
        self.managed(tx, actor, Action::PutPolicy, &format!("policy:{name}")).await?;
        Ok(policy)
    }

    /// The policies that a project may use, from behind `after` on: the ready ones, then its own by name.
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
        // Behind a ready one all of its own come.
        let after = after.filter(|_| shown.is_none());
        found.extend(project::list_policies(&mut connection, actor.project_id(), after, rest).await?);
        Ok(found)
    }

    /// Deletes a policy that no principal has.
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
        let mut tx = self.store.begin().await?;
        suspend_project(&mut tx, project_id).await?;
        if let Some(principal) = project::policy_holder(&mut tx, project_id, name).await? {
            let message = format!(
                "principal {principal:?} has the policy {name:?}: give that one other policies first"
            );
            return Err(Error::new(Reason::PolicyInUse, message));
        }
        if project::delete_policy(&mut tx, project_id, name).await? {
            return self.managed(tx, actor, Action::DeletePolicy, &format!("policy:{name}")).await;
        }
        Err(missing())
    }
}
