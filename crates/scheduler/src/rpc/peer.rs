//! Caller identity: under TLS, a worker can call only for itself.

use domain::ids::WorkerId;
use mtls::Identity;
use tonic::{Request, Status};

/// Identity from the caller's certificate; `None` without TLS.
#[derive(Debug)]
pub(crate) struct Caller(Option<Identity>);

/// Splits a request into the caller and the message.
pub(crate) fn called<T>(request: Request<T>) -> (Caller, T) {
    let (_, mut extensions, message) = request.into_parts();
    (Caller(extensions.remove::<Identity>()), message)
}

impl Caller {
    /// Identity in the caller's certificate; `None` without TLS.
    pub(crate) const fn identity(&self) -> Option<&Identity> {
        self.0.as_ref()
    }

    /// Checks that the claimed worker id belongs to the caller's certificate. Without TLS, every id
    /// is accepted.
    pub(crate) fn is(&self, claimed: &str) -> Result<WorkerId, Status> {
        if let Some(identity) = &self.0
            && !identity.owns_worker_id(claimed)
        {
            tracing::warn!(
                %identity, worker_id = claimed,
                "call refused: worker id belongs to another worker"
            );
            return Err(Status::permission_denied(format!("{identity} may not call as another worker")));
        }
        claimed.parse().map_err(|error: domain::Error| Status::invalid_argument(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use mtls::Role;
    use tonic::Code;

    use super::*;

    fn caller(identity: Option<Identity>) -> Caller {
        let mut request = Request::new(());
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        called(request).0
    }

    #[test]
    fn a_worker_calls_under_its_own_name_only() {
        let worker = Identity::role(Role::Worker, "w1").unwrap();
        let id = worker.worker_id("0198f0000000700080000000000000ab").unwrap();
        assert_eq!(caller(Some(worker)).is(&id).unwrap().as_str(), id);
        let another = caller(Some(Identity::role(Role::Worker, "w2").unwrap()));
        assert_eq!(another.is(&id).unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(caller(None).is("anything").unwrap().as_str(), "anything");
        assert_eq!(caller(None).is("").unwrap_err().code(), Code::InvalidArgument);
    }
}
