//! Rules for certificate chains, and the deny-list. Only a trusted CA may certify control plane
//! processes; an issuer below it may certify desktops too. So a stolen issuer key can impersonate
//! desktops only.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{
    anonymous::AnonymousPeers,
    certificate::{Certified, read_facts},
    denied::DenyList,
};

/// Methods that both verifiers delegate.
macro_rules! signatures_are_checked_by_inner {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls12_signature(message, certificate, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls13_signature(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    };
}

/// Refuses a valid certificate that is denied.
fn check_denied(deny_list: &DenyList, certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let facts = read_facts(certificate).map_err(|_| CertificateError::BadEncoding)?;
    if deny_list.contains(&facts.serial) {
        return Err(CertificateError::Revoked.into());
    }
    Ok(())
}

/// Verifier of clients.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    deny_list: DenyList,
    strangers: AnonymousPeers,
}

impl ClientVerifier {
    pub(crate) fn new(
        roots: &Arc<RootCertStore>,
        deny_list: DenyList,
        strangers: AnonymousPeers,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { inner, deny_list, strangers })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.strangers == AnonymousPeers::Refused
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let is_desktop = Certified::read(end_entity).is_ok_and(|certified| certified.identity.is_desktop());
        let between = if is_desktop { intermediates } else { &[] };
        let verified = self.inner.verify_client_cert(end_entity, between, now)?;
        for certificate in std::iter::once(end_entity).chain(between) {
            check_denied(&self.deny_list, certificate)?;
        }
        Ok(verified)
    }

    signatures_are_checked_by_inner!();
}

/// Verifier of servers, which are always control plane processes.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    inner: Arc<WebPkiServerVerifier>,
    deny_list: DenyList,
}

impl ServerVerifier {
    pub(crate) fn new(
        roots: &Arc<RootCertStore>,
        deny_list: DenyList,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { inner, deny_list })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)?;
        check_denied(&self.deny_list, end_entity)?;
        Ok(verified)
    }

    signatures_are_checked_by_inner!();
}
