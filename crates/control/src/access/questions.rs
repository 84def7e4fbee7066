//! Questions about rights: which actions the caller, or another principal, may perform.

use domain::{
    Error, Reason,
    access_check::{self, AccessAnswer, AccessCheck},
    authz::{Action, Policy, Resource, Rights, ready_policy},
};
use store::credential::{self, Holder};

use super::principals::check_name;
use crate::{Caller, Control};

/// Answers about the rights of one principal, in the order of the questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessAnswers {
    /// Name of the principal.
    pub principal: String,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// The answers.
    pub answers: Vec<AccessAnswer>,
}

impl Control {
    /// Answers which actions a principal may perform on resources, from its policies. A caller may
    /// ask about itself; `other` needs the right to list policies.
    ///
    /// # Errors
    ///
    /// Those of the questions, and `PrincipalNotFound`.
    pub async fn check_access(
        &self,
        caller: &Caller,
        other: Option<&str>,
        checks: &[AccessCheck],
    ) -> Result<AccessAnswers, Error> {
        let own = &caller.identity.principal;
        let other = other.filter(|other| other != own);
        if let Some(other) = other {
            caller.check(Action::ListPolicies, [Resource::Everything])?;
            check_name("principal", other)?;
        }
        access_check::check_questions(checks)?;
        let principal = other.unwrap_or(own);
        let mut connection = self.store.acquire().await?;
        let holder = credential::principal(&mut connection, caller.project_id().as_str(), principal).await?;
        drop(connection);
        let (rights, policies) = match (holder, other) {
            // The caller has the rights of its credential.
            (holder, None) => (caller.identity.rights.clone(), policies(holder)),
            (Some(holder), Some(_)) => (rights(&holder), holder.policies),
            (None, Some(other)) => {
                let message = format!("principal {other:?} does not exist");
                return Err(Error::field(Reason::PrincipalNotFound, "principal", message));
            }
        };
        let answers = checks.iter().map(|check| access_check::answer(&rights, check));
        Ok(AccessAnswers {
            principal: principal.to_owned(),
            policies,
            answers: answers.collect::<Result<_, _>>()?,
        })
    }
}

/// Returns the names of a caller's policies. A caller of the configuration has every right.
fn policies(holder: Option<Holder>) -> Vec<String> {
    holder.map_or_else(|| vec!["admin".to_owned()], |holder| holder.policies)
}

fn rights(holder: &Holder) -> Rights {
    let ready: Vec<Policy> = holder.policies.iter().filter_map(|name| ready_policy(name)).collect();
    Rights::new(ready.iter().chain(&holder.documents))
}
