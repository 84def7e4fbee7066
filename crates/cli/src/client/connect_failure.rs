//! Errors of a connection that cannot be opened.

use chrono::DateTime;
use mtls::{Facts, ServerFault};

use super::{ConnectOptions, comparison::compare, probe::probe, target::Target};
use crate::{Error, error::deepest, sanitize::sanitize_line};

/// Builds the error of a failed connection: names a server of another kind, else the fault of its
/// certificate, else the cause.
pub(super) async fn failure(
    way: &ConnectOptions,
    target: &Target,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    let doing = format!("cannot connect to {}", target.address);
    let server = probe(&target.address, &target.proxies).await;
    if let Some(wrong) = server.as_ref().and_then(|server| compare(target, server)) {
        return Error::wrong_server("cannot connect", &wrong);
    }
    let certificate = server.and_then(|server| server.certificate);
    match ServerFault::of(error) {
        Some(fault) => of_certificate(&doing, way, target, &fault, certificate.as_ref()),
        None => unreachable(way, &deepest(error)),
    }
}

fn of_certificate(
    doing: &str,
    way: &ConnectOptions,
    target: &Target,
    fault: &ServerFault,
    certificate: Option<&Facts>,
) -> Error {
    let fails = |why: String| Error::unreachable(format!("{doing}: {why}"));
    let when = |unix: Option<i64>| {
        let time = unix.and_then(|unix| DateTime::from_timestamp(unix, 0));
        time.map_or_else(
            || "an unknown time".to_owned(),
            |time| time.format("%Y-%m-%d %H:%M UTC").to_string(),
        )
    };
    match fault {
        ServerFault::UnknownAuthority => {
            let issuer = certificate.map(|facts| format!(", {},", sanitize_line(&facts.issuer)));
            let issuer = issuer.unwrap_or_default();
            match &way.files.ca_file {
                None => fails(format!(
                    "an authority that this machine does not trust{issuer} signed its certificate"
                ))
                .try_next("--ca-file FILE: the certificate of that CA"),
                Some(file) => fails(format!(
                    "another authority{issuer} than that of {} signed its certificate",
                    file.display()
                ))
                .try_next("--ca-file FILE: the certificate of the CA that signed it"),
            }
        }
        ServerFault::OtherName => {
            let names = certificate.map(|facts| facts.names.as_slice()).unwrap_or_default();
            let names = match names {
                [] => "no host".to_owned(),
                names => names.iter().map(|name| sanitize_line(name)).collect::<Vec<_>>().join(", "),
            };
            fails(format!("its certificate is for {names}, not for {}", target.address.host()))
                .try_next("an address with a name of the certificate, or a certificate with this name")
        }
        ServerFault::Expired => {
            let at = when(certificate.map(|facts| facts.not_after_unix));
            fails(format!("its certificate expired at {at}"))
                .try_next("renew the certificate of the server; check the clock of this machine")
        }
        ServerFault::NotYetValid => {
            let at = when(certificate.map(|facts| facts.not_before_unix));
            fails(format!("its certificate is not valid before {at}"))
                .try_next("check the clock of this machine")
        }
        ServerFault::OtherRole(identity) => {
            fails(format!("its certificate is of {identity}, which is not a scheduler"))
                .try_next("graywave login https://HOST or HOST:9090: the address of a scheduler")
        }
        ServerFault::Invalid(why) => fails(format!("its certificate is not valid: {}", sanitize_line(why))),
        _ => fails("its certificate is not valid".to_owned()),
    }
}

fn unreachable(way: &ConnectOptions, cause: &str) -> Error {
    let failure = Error::unreachable(format!("cannot reach the control plane at {}: {cause}", way.grpc));
    match &way.context {
        Some(context) => failure.try_next(format!(
            "graywave config show {context}: check the address, and that a scheduler runs there"
        )),
        None => failure
            .try_next("--grpc HOST:PORT: a scheduler's address; `graywave dev` starts one on this machine"),
    }
}
