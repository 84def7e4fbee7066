//! Access control of a service by the peer's identity.

use mtls::Identity;
use tonic::{Request, Status, service::Interceptor};

use crate::{Peer, Who};

/// Interceptor that admits only some peers. An admitted request has these extensions: [`Who`], the
/// connection info of tonic and, for an authenticated peer, its [`Identity`] and
/// [`Certified`](mtls::Certified).
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// Names the allowed peers in refusals.
    pub who: &'static str,
    /// Whether an identity is allowed.
    pub allows: fn(&Identity) -> bool,
    /// Whether peers without a certificate are allowed.
    pub allow_anonymous: bool,
}

impl Guard {
    /// Allows every peer with a certificate.
    pub const ANYBODY: Self =
        Self { who: "peers with a certificate", allows: |_| true, allow_anonymous: false };
}

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let Some(Peer { tcp, who }) = request.extensions().get::<Peer>().cloned() else {
            return Err(Status::internal("the caller's connection info is missing"));
        };
        let refused = match &who {
            Who::Anybody => None,
            Who::Anonymous => (!self.allow_anonymous).then(|| "a peer without a certificate".to_owned()),
            Who::Known(known) => (!(self.allows)(&known.identity)).then(|| known.identity.to_string()),
        };
        if let Some(identity) = refused {
            let peer = tcp.remote_addr();
            tracing::warn!(%identity, ?peer, who = self.who, "call refused: wrong role");
            let reason = format!("{identity} may not call this: only {}", self.who);
            return Err(Status::permission_denied(reason));
        }
        if let Who::Known(known) = &who {
            request.extensions_mut().insert(known.identity.clone());
            request.extensions_mut().insert(known.clone());
        }
        request.extensions_mut().insert(who);
        request.extensions_mut().insert(tcp);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use mtls::{Certified, Role};
    use tonic::{Code, transport::server::TcpConnectInfo};

    use super::*;

    const WORKERS: Guard =
        Guard { who: "workers", allows: |identity| identity.has_role(Role::Worker), allow_anonymous: false };

    fn known(identity: &Identity) -> Who {
        let serial = "01".to_owned();
        Who::Known(Certified { identity: identity.clone(), serial, not_before_unix: 0, not_after_unix: 1 })
    }

    fn called_by(who: Who) -> Result<Request<()>, Status> {
        guarded(WORKERS, who)
    }

    fn guarded(mut guard: Guard, who: Who) -> Result<Request<()>, Status> {
        let mut request = Request::new(());
        let remote_addr = Some(([127, 0, 0, 1], 5).into());
        let tcp = TcpConnectInfo { local_addr: None, remote_addr };
        request.extensions_mut().insert(Peer { tcp, who });
        guard.call(request)
    }

    #[test]
    fn only_the_right_role_passes_and_is_known_behind_it() {
        let worker = Identity::role(Role::Worker, "w").unwrap();
        let passed = called_by(known(&worker)).unwrap();
        assert_eq!(passed.extensions().get(), Some(&worker));
        assert_eq!(passed.extensions().get(), Some(&known(&worker)));
        assert_eq!(passed.remote_addr().unwrap().port(), 5);
        let desktop = Identity::desktop("p", "d").unwrap();
        let refused = called_by(known(&desktop)).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.message(), "graywave://desktop/p/d may not call this: only workers");
        assert!(called_by(Who::Anybody).unwrap().extensions().get::<Identity>().is_none(), "without TLS");
        assert_eq!(WORKERS.clone().call(Request::new(())).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn a_stranger_passes_only_where_strangers_are_meant() {
        for guard in [WORKERS, Guard::ANYBODY] {
            let refused = guarded(guard, Who::Anonymous).unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
            assert!(refused.message().starts_with("a peer without a certificate may not call this"));
        }
        let passed = guarded(Guard { allow_anonymous: true, ..WORKERS }, Who::Anonymous).unwrap();
        assert_eq!(passed.extensions().get(), Some(&Who::Anonymous));
        assert!(passed.extensions().get::<Identity>().is_none());
    }
}
