//! Who calls, and what they may: credentials become an identity, an identity has rights. The same for every adapter.

mod actor;
mod authenticate;
mod caller;
mod cluster_admin;
mod credentials;
mod encryption;
mod enrolment;
mod outsider;
mod principals;
mod static_credentials;

pub use actor::Actor;
pub use authenticate::SigningKey;
pub use caller::{Caller, Idempotency, Identity};
pub use credentials::{NewKey, NewToken};
pub use encryption::MasterKeys;
pub use enrolment::NewEnrolmentToken;
pub use outsider::Operator;
pub use principals::NO_LIMIT;
pub use static_credentials::{AccessKey, Credentials, Token};

/// The header, or the metadata of a gRPC call, that carries a token and nothing else.
pub const TOKEN_HEADER: &str = "x-auth-token";

/// What the use cases know of credentials beside what the database holds.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Those of the configuration.
    pub fixed: Credentials,
    /// What secret keys are sealed with in the database.
    pub master_keys: MasterKeys,
}
