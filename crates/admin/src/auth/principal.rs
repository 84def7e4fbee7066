//! The authenticated principal of a call.

use control::{Caller, Operator};

/// Principal of a project, or operator of the cluster.
#[derive(Debug, Clone)]
pub(super) enum Principal {
    Caller(Caller),
    Operator(Operator),
}

impl Principal {
    /// Name for rate limits and logs.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Caller(caller) => caller.rate_bucket(),
            Self::Operator(operator) => operator.certificate.clone(),
        }
    }
}
