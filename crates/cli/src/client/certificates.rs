//! Certificates of a connection: the trusted CAs, and the optional certificate of the caller.

use mtls::{CertificateDer, FilesGiven, Identity, OperatorClient, OwnFiles, ProxySettings, Trust};

use crate::Error;

/// Loads the certificates of a TLS connection. Without a CA file, the CAs of this machine count.
pub(crate) fn load(files: &FilesGiven, proxies: ProxySettings) -> Result<OperatorClient, Error> {
    let own = match (&files.cert_file, &files.key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(OwnFiles { cert: cert.clone(), key: key.clone() }),
        (Some(_), None) => return Err(one_file("--key-file")),
        (None, Some(_)) => return Err(one_file("--cert-file")),
    };
    let trust = match &files.ca_file {
        Some(file) => Trust::File(file.clone()),
        None => Trust::System(system_cas()?),
    };
    OperatorClient::load(&trust, own.as_ref(), proxies).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Error::misused(format!("cannot load the certificates: {error}{cause}"))
    })
}

/// Identity in the caller's certificate; `None` without one.
pub(crate) fn own_identity(files: &FilesGiven) -> Result<Option<Identity>, Error> {
    if files.cert_file.is_none() && files.key_file.is_none() {
        return Ok(None);
    }
    Ok(load(files, ProxySettings::default())?.identity().cloned())
}

fn one_file(missing: &str) -> Error {
    Error::misused(format!("a client certificate needs two files; missing: {missing}"))
        .try_next("--cert-file FILE --key-file FILE, or neither with a token")
}

/// Reads the CAs of this machine: its store, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system_cas() -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    let cause = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    Err(Error::misused(format!("this machine has no CA certificates{cause}"))
        .try_next("--ca-file FILE: the CA of the control plane")
        .try_next("SSL_CERT_FILE=FILE, or install the package ca-certificates"))
}
