//! Servers that are not the admin gRPC of a scheduler, as text.

use crate::server_kind::ServerKind;

/// Port of the admin service, for messages.
const OPERATORS: &str = "operators use a scheduler's gRPC port, by default 9090";

/// The server at an address is not the one that operators use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} {}", self.mismatch.text())]
pub(crate) struct WrongServer {
    pub(crate) address: String,
    pub(crate) mismatch: Mismatch,
    /// What to try next, the most likely fix first.
    pub(crate) hints: Vec<String>,
}

/// Difference between the server and the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
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
            Self::Kind(ServerKind::OtherHttp(status @ 502..=504)) => {
                return format!("is a proxy that reaches no scheduler (it answered HTTP {status})");
            }
            Self::Kind(ServerKind::OtherHttp(status)) => {
                return format!(
                    "is a web server, but not the admin gRPC of Graywave (it answered HTTP {status})"
                );
            }
            Self::Kind(ServerKind::NotHttp | ServerKind::Unknown | ServerKind::Admin) => {
                "does not speak gRPC: it is not a server of Graywave"
            }
        };
        text.to_owned()
    }
}

impl WrongServer {
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
}
