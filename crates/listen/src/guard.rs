//! Who may call a service.

use identity::Identity;
use tonic::{Request, Status, service::Interceptor};

use crate::Peer;

/// Lets only some peers call a service. What it lets pass has the peer's [`Identity`] among its extensions, where there is
/// one, and its address where `tonic` looks for it.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// Who may, for the refusal.
    pub who: &'static str,
    /// Whether this one is among them.
    pub may: fn(&Identity) -> bool,
}

impl Guard {
    /// Whoever has shown a certificate.
    pub const ANYBODY: Self = Self { who: "anybody with a certificate", may: |_| true };
}

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let Some(Peer { tcp, identity }) = request.extensions().get::<Peer>().cloned() else {
            return Err(Status::internal("nobody knows who calls"));
        };
        if let Some(identity) = identity {
            if !(self.may)(&identity) {
                let peer = tcp.remote_addr();
                tracing::warn!(%identity, ?peer, who = self.who, "a call is refused: it has the wrong role");
                let reason = format!("{identity} may not call this: only {}", self.who);
                return Err(Status::permission_denied(reason));
            }
            request.extensions_mut().insert(identity);
        }
        request.extensions_mut().insert(tcp);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use identity::Role;
    use tonic::{Code, transport::server::TcpConnectInfo};

    use super::*;

    const WORKERS: Guard = Guard { who: "workers", may: |identity| identity.has_role(Role::Worker) };

    fn called_by(identity: Option<Identity>) -> Result<Request<()>, Status> {
        let mut request = Request::new(());
        let remote_addr = Some(([127, 0, 0, 1], 5).into());
        let tcp = TcpConnectInfo { local_addr: None, remote_addr };
        request.extensions_mut().insert(Peer { tcp, identity });
        WORKERS.clone().call(request)
    }

    #[test]
    fn only_the_right_role_passes_and_is_known_behind_it() {
        let worker = Identity::role(Role::Worker, "w").unwrap();
        let passed = called_by(Some(worker.clone())).unwrap();
        assert_eq!(passed.extensions().get(), Some(&worker));
        assert_eq!(passed.remote_addr().unwrap().port(), 5);
        let desktop = Identity::desktop("p", "d").unwrap();
        let refused = called_by(Some(desktop)).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.message(), "graywave://desktop/p/d may not call this: only workers");
        assert!(called_by(None).unwrap().extensions().get::<Identity>().is_none(), "without TLS");
        assert_eq!(WORKERS.clone().call(Request::new(())).unwrap_err().code(), Code::Internal);
    }
}
