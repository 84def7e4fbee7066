//! The authenticated principal of a call.

use control::{Caller, Operator};

/// The caller of a project, or an operator of the cluster.
#[derive(Debug, Clone)]
pub(super) enum Principal {
    Caller(Caller),
    Operator(Operator),
}

impl Principal {
    /// Name under which calls are rate-limited and logged.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Caller(caller) => caller.rate_bucket(),
            Self::Operator(operator) => operator.certificate.clone(),
        }
    }
}
