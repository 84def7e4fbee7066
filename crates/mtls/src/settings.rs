//! TLS settings: TLS 1.3 with ring, certificates on both sides, HTTP/2.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier,
    client::{Resumption, WantsClientCert},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
    version::TLS13,
};

use crate::{
    anonymous::AnonymousPeers,
    certificate::{Facts, read_certificates, read_facts},
    denied::DenyList,
    files::Contents,
    identity::Identity,
    verified_chains::VerifiedChains,
    verify::{ClientVerifier, ServerVerifier},
};

/// TLS settings built from consistent files.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) identity: Identity,
    pub(crate) facts: Facts,
    /// Subjects of the trusted CAs.
    pub(crate) trusted: Vec<String>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) server: Arc<ServerConfig>,
    /// Server settings that also accept anonymous peers.
    pub(crate) open_server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    /// Certificates and key, for signatures.
    pub(crate) own: Arc<CertifiedKey>,
    /// Certificates of desktops that these CAs are known to have issued.
    pub(crate) verified: VerifiedChains,
}

/// File with the problem, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    Ca(String),
    Cert(String),
    Key(String),
}

impl Settings {
    /// Builds the settings. Handshakes check the deny-list as it is at that time.
    pub(crate) fn from_contents(contents: &Contents, deny_list: &DenyList) -> Result<Self, Wrong> {
        let (roots, trusted) = roots(&contents.ca).map_err(Wrong::Ca)?;
        let chain = read_certificates(&contents.cert).map_err(Wrong::Cert)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| Wrong::Key(format!("contains no private key: {error}")))?;
        let facts = read_facts(&chain[0]).map_err(Wrong::Cert)?;
        let identity = facts
            .identity
            .clone()
            .map_err(|error| Wrong::Cert(format!("contains no Graywave identity: {error}")))?;
        let server =
            |strangers| server(&roots, deny_list, strangers, &chain, &key).map(Arc::new).map_err(Wrong::Key);
        let (server, open_server) = (server(AnonymousPeers::Refused)?, server(AnonymousPeers::LetIn)?);
        let own = CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider())
            .map_err(|error| Wrong::Key(does_not_fit(error)))?;
        let client = Arc::new(client(&roots, deny_list, chain, key).map_err(Wrong::Key)?);
        let verified = VerifiedChains::default();
        Ok(Self {
            identity,
            facts,
            trusted,
            roots,
            server,
            open_server,
            client,
            own: Arc::new(own),
            verified,
        })
    }
}

/// Client settings without a certificate that trust these CAs.
pub(crate) fn stranger(ca: &[u8]) -> Result<ClientConfig, String> {
    let (roots, _) = roots(ca)?;
    Ok(dialling(dials(&roots, &DenyList::default())?.with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Trusted CAs and their subjects.
pub(crate) fn roots(pem: &[u8]) -> Result<(Arc<RootCertStore>, Vec<String>), String> {
    let (mut roots, mut subjects) = (RootCertStore::empty(), Vec::new());
    for certificate in read_certificates(pem)? {
        let facts = read_facts(&certificate)?;
        if !facts.is_ca {
            return Err("contains a certificate that is not a CA's".into());
        }
        roots.add(certificate).map_err(|error| error.to_string())?;
        subjects.push(facts.subject);
    }
    Ok((Arc::new(roots), subjects))
}

fn server(
    roots: &Arc<RootCertStore>,
    deny_list: &DenyList,
    strangers: AnonymousPeers,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::new(ClientVerifier::new(
            roots,
            deny_list.clone(),
            strangers,
            provider(),
        )?))
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(does_not_fit)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the client certificate.
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    roots: &Arc<RootCertStore>,
    deny_list: &DenyList,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, String> {
    Ok(dialling(dials(roots, deny_list)?.with_client_auth_cert(chain, key).map_err(does_not_fit)?))
}

fn dials(
    roots: &Arc<RootCertStore>,
    deny_list: &DenyList,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let versions: ConfigBuilder<ClientConfig, WantsVerifier> =
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?;
    let verifier = ServerVerifier::new(roots, deny_list.clone(), provider())?;
    Ok(versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

fn dialling(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

fn does_not_fit(error: rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "does not match the certificate".to_owned(),
        other => format!("cannot be loaded: {other}"),
    }
}
