//! What is spoken: TLS 1.3 with ring, both sides with a certificate, HTTP/2 inside.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};

use crate::{
    certificate::{Facts, read_certificates, read_facts},
    files::Contents,
    who::Identity,
};

/// What there is to speak with, read from the files and found to fit together.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) identity: Identity,
    pub(crate) facts: Facts,
    /// CAs whose certificates are accepted.
    pub(crate) trusted: usize,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

/// What is wrong, and in which of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    Ca(String),
    Cert(String),
    Key(String),
}

impl Settings {
    pub(crate) fn from_contents(contents: &Contents) -> Result<Self, Wrong> {
        let roots = Arc::new(roots(&contents.ca).map_err(Wrong::Ca)?);
        let chain = read_certificates(&contents.cert).map_err(Wrong::Cert)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| Wrong::Key(format!("holds no private key: {error}")))?;
        let facts = read_facts(&chain[0]).map_err(Wrong::Cert)?;
        let identity =
            facts.identity.clone().map_err(|error| Wrong::Cert(format!("names nobody: {error}")))?;
        let server = server(&roots, &chain, &key).map_err(Wrong::Key)?;
        let client = client(&roots, chain, key).map_err(Wrong::Key)?;
        let trusted = roots.len();
        Ok(Self { identity, facts, trusted, roots, server: Arc::new(server), client: Arc::new(client) })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(pem)? {
        if !read_facts(&certificate)?.is_ca {
            return Err("holds a certificate that is no CA's".into());
        }
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

fn server(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| error.to_string())?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(does_not_fit)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A session that is taken up again would not show its certificate again.
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key)
        .map_err(does_not_fit)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn does_not_fit(error: rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "is not the key of the certificate".to_owned(),
        other => format!("cannot be used: {other}"),
    }
}
