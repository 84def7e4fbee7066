//! Kinds of servers at an address.

use mtls::Facts;

/// Server at an address, as its answers to a probe show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whether it speaks TLS.
    pub(crate) is_tls: bool,
    /// Its certificate, which nothing verified.
    pub(crate) certificate: Option<Facts>,
    /// Whether it ends connections of clients without a certificate.
    pub(crate) requires_certificate: bool,
    pub(crate) kind: ServerKind,
}

/// Kind of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// Admin gRPC of a scheduler.
    Admin,
    /// Gateway of a worker, for agents.
    AgentGateway,
    RestApi,
    /// Metrics and health of a role.
    Telemetry,
    OtherGrpc,
    /// Web server, with the status of its answer.
    OtherHttp(u16),
    /// Server that sends other bytes than HTTP.
    NotHttp,
    /// Server whose answers do not tell its kind, such as one that closes the connection.
    Unknown,
}
