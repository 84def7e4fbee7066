//! Comparison of the server at an address with the one that operators use.

use super::{
    address::{Address, Transport},
    target::Target,
};
use crate::{
    server_kind::{Server, ServerKind},
    wrong_server::{Mismatch, WrongServer},
};

/// Compares a server with the expected one; `None` if the difference explains no failure.
pub(super) fn compare(target: &Target, server: &Server) -> Option<WrongServer> {
    let asked = target.transport;
    let mismatch = match server.kind {
        ServerKind::Admin | ServerKind::Unknown if server.is_tls && asked == Transport::Plain => {
            Mismatch::NeedsTls
        }
        ServerKind::Admin if !server.is_tls && asked == Transport::Tls => Mismatch::NoTls,
        ServerKind::Admin if server.requires_certificate && !target.has_certificate => {
            Mismatch::NeedsCertificate
        }
        ServerKind::Admin | ServerKind::Unknown => return None,
        kind => Mismatch::Kind(kind),
    };
    let hints = hints(&target.address, mismatch);
    Some(WrongServer { address: target.address.to_string(), mismatch, hints })
}

fn hints(address: &Address, mismatch: Mismatch) -> Vec<String> {
    let of_scheduler = "graywave login https://HOST or HOST:9090: the address of a scheduler";
    let with_tls = address.with_scheme(Transport::Tls);
    match mismatch {
        Mismatch::NeedsTls => vec![
            format!("graywave login {with_tls}"),
            format!("graywave login {with_tls} --ca-file FILE: for a private CA"),
        ],
        Mismatch::NoTls if address.is_local() => {
            vec![format!("graywave login {}", address.with_scheme(Transport::Plain))]
        }
        Mismatch::NoTls => {
            vec!["admin.listen, admin.cert_file and admin.key_file of a scheduler (docs/tls.md)".to_owned()]
        }
        Mismatch::NeedsCertificate => vec![
            "graywave login https://HOST: the listener of admin.listen takes a token alone".to_owned(),
            "--cert-file FILE --key-file FILE: `graywave ca issue --principal` makes them".to_owned(),
        ],
        Mismatch::Kind(ServerKind::OtherHttp(_)) => vec![
            of_scheduler.to_owned(),
            "a proxy in front of the scheduler must forward HTTP/2, as for gRPC".to_owned(),
        ],
        Mismatch::Kind(_) => {
            vec![of_scheduler.to_owned(), "graywave config show: check the address".to_owned()]
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
        compare(&target, &server).map(|wrong| wrong.to_string())
    }

    #[test]
    fn each_wrong_server_is_named() {
        use ServerKind::{Admin, AgentGateway, NotHttp, OtherGrpc, OtherHttp, RestApi, Telemetry, Unknown};
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
            (
                Tls,
                true,
                OtherHttp(503),
                "localhost:8080 is a proxy that reaches no scheduler (it answered HTTP 503)",
            ),
            (Plain, false, NotHttp, "localhost:8080 does not speak gRPC: it is not a server of Graywave"),
            (Plain, true, Admin, "localhost:8080 speaks TLS, and was called without"),
            (Plain, true, Unknown, "localhost:8080 speaks TLS, and was called without"),
            (Tls, false, Admin, "localhost:8080 does not speak TLS"),
        ] {
            assert_eq!(mismatch(transport, is_tls, kind).as_deref(), Some(expected));
        }
        for (transport, is_tls, kind) in [(Plain, false, Admin), (Tls, true, Admin), (Plain, false, Unknown)]
        {
            assert_eq!(mismatch(transport, is_tls, kind), None);
        }
    }
}
