//! Identity providers, as the console offers them.

use std::sync::Arc;

use domain::{
    Error,
    ids::ProjectId,
    person::{GroupPolicies, person, policies_of_groups},
};

/// An identity provider whose people may sign in to one project.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// Name in addresses and in the names of principals.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Project of its people.
    pub project_id: ProjectId,
    /// Policies of its groups.
    pub groups: Vec<GroupPolicies>,
    /// Subjects that are principals of the project, each with the name of the principal.
    pub principals: Vec<(String, String)>,
    /// Client of the provider.
    pub client: Arc<oidc::Provider>,
}

/// Principal of a person, and the policies of its groups; `None` if it has policies of its own.
pub(super) struct Mapped {
    pub(super) principal: String,
    pub(super) policies: Option<Vec<String>>,
}

impl IdentityProvider {
    /// Maps a person to a principal.
    ///
    /// A subject that the settings link to a principal is that principal, with its own policies, so
    /// that a person who also has a token is not taken for two people.
    pub(super) fn map(&self, found: &oidc::Person) -> Result<Mapped, Error> {
        let linked = self.principals.iter().find(|(subject, _)| *subject == found.subject);
        if let Some((_, principal)) = linked {
            return Ok(Mapped { principal: principal.clone(), policies: None });
        }
        let principal = person(&self.name, &found.subject)?;
        Ok(Mapped { principal, policies: Some(policies_of_groups(&self.groups, &found.groups)?) })
    }
}
