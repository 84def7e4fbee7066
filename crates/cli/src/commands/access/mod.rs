//! Commands that manage access: projects, principals, policies, tokens, keys and enrolment tokens.

mod enrolment_tokens;
mod keys;
mod new_credential;
mod policies;
mod principals;
mod projects;
mod state;
mod tokens;

pub(super) use enrolment_tokens::{EnrolmentTokensArgs, enrolment_tokens};
pub(super) use keys::{KeysArgs, keys};
pub(super) use policies::{PoliciesArgs, policies};
pub(super) use principals::{PrincipalsArgs, principals};
pub(super) use projects::{ProjectsArgs, projects};
pub(super) use tokens::{TokensArgs, tokens};
