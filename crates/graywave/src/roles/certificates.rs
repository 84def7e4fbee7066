//! Certificates of a role, and the restrictions without them.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use mtls::{FilesGiven, Identity, Role, Signer, SignerFilesGiven, Tls, WebTls};
use server::Guard;
use telemetry::metric;
use tokio::net::TcpListener;

use crate::{admin_listener::AdminListener, config::Api};

/// Interval of the metric for certificate expiry.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// Peers of the worker service.
pub(crate) const WORKERS: Guard = Guard {
    who: "workers",
    allows: |identity: &Identity| identity.has_role(Role::Worker),
    allow_anonymous: false,
};

/// Peers of the admin service.
pub(crate) const OPERATORS: Guard = Guard {
    who: "principals and the roles admin and api",
    allows: |identity: &Identity| {
        identity.is_principal() || identity.has_role(Role::Admin) || identity.has_role(Role::Api)
    },
    allow_anonymous: false,
};

/// Peers of the admin listener. A token is the credential of a peer without a certificate.
pub(crate) const PRINCIPALS: Guard = Guard {
    who: "principals, and clients without a certificate",
    allows: Identity::is_principal,
    allow_anonymous: true,
};

/// Loads the certificates of a role; `None` if none are configured. Without certificates, a role
/// may listen on loopback addresses only.
pub(crate) fn load(given: &FilesGiven, role: Role, listener: &TcpListener) -> anyhow::Result<Option<Tls>> {
    let Some(files) = given.all_or_none().map_err(anyhow::Error::msg)? else {
        only_this_machine(listener.local_addr()?)?;
        return Ok(None);
    };
    let tls = Tls::load(files).context("tls")?;
    if !tls.identity().has_role(role) {
        bail!(
            "tls.cert_file names {}, but this is a {role}; run `graywave ca issue --role {role}`",
            tls.identity()
        );
    }
    Ok(Some(tls))
}

/// Loads the certificate of the REST API; `None` if none is configured. Without it, the API listens
/// on loopback addresses only, unless the configuration accepts plain text.
pub(crate) fn https(api: &Api, address: SocketAddr) -> anyhow::Result<Option<WebTls>> {
    if let Some(files) = api.tls_files()? {
        return Ok(Some(WebTls::load(files, "the REST API").context("api")?));
    }
    if !api.insecure && !address.ip().is_loopback() {
        bail!(
            "cannot listen on {address} without HTTPS; listen on 127.0.0.1, set api.tls_cert_file and \
             api.tls_key_file, or set api.insecure = true behind a proxy that encrypts (see docs/tls.md)"
        );
    }
    Ok(None)
}

/// Loads the server certificate of the admin listener; `None` if none is configured. Without it,
/// the listener has a loopback address only, unless the configuration accepts plain text.
pub(crate) fn admin(settings: &AdminListener, address: SocketAddr) -> anyhow::Result<Option<WebTls>> {
    if let Some(files) = settings.files()? {
        return Ok(Some(WebTls::load(files, "the admin listener").context("admin")?));
    }
    if !settings.insecure && !address.ip().is_loopback() {
        bail!(
            "cannot listen on {address} without TLS; listen on 127.0.0.1, set admin.cert_file and admin.key_file, \
             or set admin.insecure = true behind a proxy that encrypts (see docs/tls.md)"
        );
    }
    Ok(None)
}

/// Serves while reloading changed certificates and reporting their expiry.
pub(crate) async fn watched<T>(
    tls: Option<Tls>,
    signer: Option<Signer>,
    serving: impl Future<Output = T>,
) -> T {
    let shown = (tls.clone(), signer.clone());
    let serving = Signer::watched(signer, serving);
    tokio::select! {
        served = Tls::watched(tls, serving) => served,
        never = report_expiry(shown.0, shown.1) => match never {},
    }
}

async fn report_expiry(tls: Option<Tls>, signer: Option<Signer>) -> Infallible {
    let Some(tls) = tls else { return std::future::pending().await };
    let seconds = |not_after_unix: i64| u64::try_from(not_after_unix).unwrap_or_default();
    loop {
        metric::CERTIFICATE_EXPIRES.set(seconds(tls.facts().not_after_unix), &[]);
        if let Some(signer) = &signer {
            metric::SIGNER_EXPIRES.set(seconds(signer.not_after_unix()), &[]);
        }
        tokio::time::sleep(REPORT_INTERVAL).await;
    }
}

/// Loads the signer of orders. A scheduler with TLS requires one, because agents with certificates
/// reject unsigned orders.
pub(crate) fn signer(given: &SignerFilesGiven, tls: Option<&Tls>) -> anyhow::Result<Option<Signer>> {
    let files = given.both_or_none().map_err(anyhow::Error::msg).context("orders")?;
    match (files, tls) {
        (Some(files), Some(tls)) => Ok(Some(Signer::load(files, tls.clone()).context("orders")?)),
        (None, Some(_)) => bail!(
            "a scheduler with [tls] must sign its orders; set orders.cert_file and orders.key_file \
             (`graywave ca issue --role signer` creates them; see docs/tls.md)"
        ),
        (_, None) => Ok(None),
    }
}

/// Loads all configured files, as the roles do.
pub(crate) fn check(tls: &FilesGiven, orders: &SignerFilesGiven) -> anyhow::Result<()> {
    let Some(files) = tls.all_or_none().map_err(anyhow::Error::msg)? else { return Ok(()) };
    let tls = Tls::load(files).context("tls")?;
    if orders.both_or_none().map_err(anyhow::Error::msg)?.is_some() {
        signer(orders, Some(&tls))?;
    }
    Ok(())
}

/// Checks that an address is a loopback address.
pub(crate) fn only_this_machine(address: SocketAddr) -> anyhow::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    bail!(
        "cannot listen on {address} without TLS; listen on 127.0.0.1, or set tls.ca_file, tls.cert_file and \
         tls.key_file (`graywave ca` creates them; see docs/tls.md)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_listened_to() {
        for address in ["127.0.0.1:1", "127.3.2.1:1", "[::1]:1"] {
            only_this_machine(address.parse().unwrap()).unwrap();
        }
        for address in ["0.0.0.0:9090", "[::]:9090", "10.0.0.1:1"] {
            let refused = only_this_machine(address.parse().unwrap()).unwrap_err().to_string();
            assert!(refused.contains(address) && refused.contains("tls.ca_file"), "{refused}");
        }
    }
}
