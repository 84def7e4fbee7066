//! Handshake that reads a server's certificate without a verification, to name a wrong server.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    certificate::{Facts, read_facts},
    client::bare,
};

/// Answer of a server to a TLS client.
#[derive(Debug)]
pub enum TlsProbe {
    /// It speaks TLS.
    Tls(Box<UnverifiedTls>),
    /// It speaks TLS, but refuses the handshake.
    Refused,
    /// It does not speak TLS.
    NotTls,
}

/// Connection to a server that nothing verified. Send no credential over it.
#[derive(Debug)]
pub struct UnverifiedTls {
    /// Encrypted stream.
    pub stream: BufReader<TlsStream<TcpStream>>,
    /// Facts of the server's certificate; `None` if it cannot be parsed.
    pub certificate: Option<Facts>,
    /// Whether the server ends connections of clients without a certificate.
    pub requires_certificate: bool,
}

/// Performs a handshake that accepts every certificate. Each of its two waits takes at most
/// `within`.
pub async fn probe_tls(stream: TcpStream, host: &str, within: Duration) -> TlsProbe {
    let Ok(name) = ServerName::try_from(bare(host).to_owned()) else { return TlsProbe::Refused };
    let asked = Arc::new(NoCertificate::default());
    let Some(config) = config(Arc::clone(&asked)) else { return TlsProbe::Refused };
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = match timeout(within, handshake).await {
        Ok(Ok(stream)) => stream,
        // A server without TLS answers with other bytes, closes the connection, or waits for more.
        Ok(Err(error)) if rustls_error(&error).is_some_and(is_of_tls) => return TlsProbe::Refused,
        _ => return TlsProbe::NotTls,
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.and_then(|first| read_facts(first).ok());
    let mut stream = BufReader::new(stream);
    // With TLS 1.3, a server refuses a client without a certificate after the handshake.
    let requires_certificate = asked.0.load(Ordering::Relaxed)
        && matches!(timeout(within, stream.fill_buf()).await, Ok(Err(error)) if is_of_certificate(&error));
    TlsProbe::Tls(Box::new(UnverifiedTls { stream, certificate, requires_certificate }))
}

fn config(asked: Arc<NoCertificate>) -> Option<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NoVerification(schemes)))
        .with_client_cert_resolver(asked);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(config)
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn is_of_tls(error: &Error) -> bool {
    !matches!(error, Error::InvalidMessage(_))
}

fn is_of_certificate(error: &io::Error) -> bool {
    let required = AlertDescription::CertificateRequired;
    matches!(rustls_error(error), Some(Error::AlertReceived(alert)) if *alert == required)
}

/// Sends no certificate, and notes that the server asked for one.
#[derive(Debug, Default)]
struct NoCertificate(AtomicBool);

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Accepts every certificate: nothing secret crosses the connection.
#[derive(Debug)]
struct NoVerification(Vec<SignatureScheme>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
