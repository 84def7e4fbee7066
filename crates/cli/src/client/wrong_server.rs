//! Servers that are not the admin gRPC of a scheduler, as text.

use super::{
    address::{Address, Transport},
    recognition::Target,
    server_kind::{Server, ServerKind},
};
use crate::Error;

/// Port of the admin service, for messages.
const OPERATORS: &str = "operators use a scheduler's gRPC port, by default 9090";

/// The server at an address is not the one that operators use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} {}", self.mismatch.text())]
pub(crate) struct WrongServer {
    address: Address,
    mismatch: Mismatch,
}

/// Difference between the server and the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mismatch {
    /// Server of another kind.
    Kind(ServerKind),
    /// TLS, where the caller speaks plain text.
    NeedsTls,
    /// Plain text, where the caller speaks TLS.
    NoTls,
    /// Only clients with a certificate.
    NeedsCertificate,
}

impl Mismatch {
    fn text(self) -> String {
        let text = match self {
            Self::NeedsTls => "speaks TLS, and was called without",
            Self::NoTls => "does not speak TLS",
            Self::NeedsCertificate => "accepts only clients with a certificate, and no token alone",
            Self::Kind(ServerKind::AgentGateway) => {
                return format!("is a worker's port for agents; {OPERATORS}");
            }
            Self::Kind(ServerKind::RestApi) => return format!("serves the REST API; {OPERATORS}"),
            Self::Kind(ServerKind::Telemetry) => {
                return format!("serves metrics and health of a role; {OPERATORS}");
            }
            Self::Kind(ServerKind::OtherGrpc) => "is a gRPC server, but not of Graywave",
            Self::Kind(ServerKind::OtherHttp(status)) => {
                return format!(
                    "is a web server, but not the admin gRPC of Graywave (it answered HTTP {status})"
                );
            }
            Self::Kind(ServerKind::NotHttp | ServerKind::Silent | ServerKind::Admin) => {
                "does not speak gRPC: it is not a server of Graywave"
            }
        };
        text.to_owned()
    }
}

impl WrongServer {
    /// Compares a server with the expected one; `None` if the difference explains no failure.
    pub(crate) fn of(target: &Target, server: &Server) -> Option<Self> {
        let asked = target.transport;
        let mismatch = match server.kind {
            ServerKind::Admin | ServerKind::Silent if server.is_tls && asked == Transport::Plain => {
                Mismatch::NeedsTls
            }
            ServerKind::Admin if !server.is_tls && asked == Transport::Tls => Mismatch::NoTls,
            ServerKind::Admin if server.requires_certificate && !target.has_certificate => {
                Mismatch::NeedsCertificate
            }
            ServerKind::Admin | ServerKind::Silent => return None,
            kind => Mismatch::Kind(kind),
        };
        Some(Self { address: target.address.clone(), mismatch })
    }

    /// Finds a wrong server in the causes of an error.
    pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(wrong) = error.downcast_ref() {
                return Some(wrong);
            }
            cause = error.source();
        }
        None
    }

    /// Builds the error of a command. `doing` names the attempt, like "cannot pause task X".
    pub(crate) fn failure(&self, doing: &str) -> Error {
        let failure = Error::unreachable(format!("{doing}: {self}"));
        let address = &self.address;
        match self.mismatch {
            Mismatch::NeedsTls => {
                let with_tls = address.with_scheme(Transport::Tls);
                failure
                    .try_next(format!("graywave login {with_tls}"))
                    .try_next(format!("graywave login {with_tls} --ca-file FILE: for a private CA"))
            }
            Mismatch::NoTls if address.is_local() => {
                failure.try_next(format!("graywave login {}", address.with_scheme(Transport::Plain)))
            }
            Mismatch::NoTls => failure
                .try_next("admin.listen, admin.cert_file and admin.key_file of a scheduler (docs/tls.md)"),
            Mismatch::NeedsCertificate => failure
                .try_next("graywave login https://HOST: the listener of admin.listen takes a token alone")
                .try_next("--cert-file FILE --key-file FILE: `graywave ca issue --principal` makes them"),
            Mismatch::Kind(ServerKind::OtherHttp(_)) => failure
                .try_next("graywave login https://HOST or HOST:9090: the address of a scheduler")
                .try_next("a proxy in front of the scheduler must forward HTTP/2, as for gRPC"),
            Mismatch::Kind(_) => failure
                .try_next("graywave login https://HOST or HOST:9090: the address of a scheduler")
                .try_next("graywave config show: check the address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use mtls::ProxySettings;

    use super::*;

    fn mismatch(transport: Transport, is_tls: bool, kind: ServerKind) -> Option<String> {
        let address = Address::parse("localhost:8080").unwrap();
        let target = Target { address, transport, has_certificate: false, proxies: ProxySettings::default() };
        let server = Server { is_tls, certificate: None, requires_certificate: false, kind };
        WrongServer::of(&target, &server).map(|wrong| wrong.to_string())
    }

    #[test]
    fn each_wrong_server_is_named() {
        use ServerKind::{Admin, AgentGateway, NotHttp, OtherGrpc, OtherHttp, RestApi, Silent, Telemetry};
        use Transport::{Plain, Tls};
        for (transport, is_tls, kind, expected) in [
            (
                Plain,
                false,
                RestApi,
                "localhost:8080 serves the REST API; operators use a scheduler's gRPC port, by default 9090",
            ),
            (
                Plain,
                true,
                RestApi,
                "localhost:8080 serves the REST API; operators use a scheduler's gRPC port, by default 9090",
            ),
            (
                Tls,
                true,
                AgentGateway,
                "localhost:8080 is a worker's port for agents; operators use a scheduler's gRPC port, by default 9090",
            ),
            (
                Plain,
                false,
                Telemetry,
                "localhost:8080 serves metrics and health of a role; operators use a scheduler's gRPC port, by default 9090",
            ),
            (Plain, false, OtherGrpc, "localhost:8080 is a gRPC server, but not of Graywave"),
            (
                Tls,
                true,
                OtherHttp(404),
                "localhost:8080 is a web server, but not the admin gRPC of Graywave (it answered HTTP 404)",
            ),
            (Plain, false, NotHttp, "localhost:8080 does not speak gRPC: it is not a server of Graywave"),
            (Plain, true, Admin, "localhost:8080 speaks TLS, and was called without"),
            (Plain, true, Silent, "localhost:8080 speaks TLS, and was called without"),
            (Tls, false, Admin, "localhost:8080 does not speak TLS"),
        ] {
            assert_eq!(mismatch(transport, is_tls, kind).as_deref(), Some(expected));
        }
        for (transport, is_tls, kind) in [(Plain, false, Admin), (Tls, true, Admin), (Plain, false, Silent)] {
            assert_eq!(mismatch(transport, is_tls, kind), None);
        }
    }
}
