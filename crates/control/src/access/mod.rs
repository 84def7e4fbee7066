//! Authentication and authorisation: a credential resolves to an identity, and an identity has
//! rights. All adapters share them.

mod actor;
mod authenticate;
mod caller;
mod cli_sign_in;
mod cluster_admin;
mod credentials;
mod deny_list;
mod encryption;
mod enrolment;
mod login_guard;
mod outsider;
mod principals;
mod questions;
mod rewrap;
mod sessions;
mod static_credentials;

pub use actor::Actor;
pub use authenticate::SigningKey;
pub use caller::{Caller, Idempotency, Identity};
pub use cli_sign_in::CliToken;
pub use credentials::{NewKey, NewToken};
pub use deny_list::NewDenial;
pub use encryption::MasterKeys;
pub use enrolment::{EnrolmentTerms, NewEnrolmentToken};
pub(crate) use login_guard::LoginGuard;
pub use outsider::Operator;
pub use principals::NO_LIMIT;
pub use questions::AccessAnswers;
pub use rewrap::Rewrapped;
pub use sessions::{NewSession, RequestOrigin, Session, SignedInPerson};
pub use static_credentials::{AccessKey, Credentials, Token};

/// Name of the HTTP header, or of the gRPC metadata key, that carries a bare token.
pub const TOKEN_HEADER: &str = "x-auth-token";

/// Credential settings from the configuration, in addition to the database.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Static credentials from the configuration.
    pub fixed: Credentials,
    /// Master keys that encrypt secret keys in the database.
    pub master_keys: MasterKeys,
}
