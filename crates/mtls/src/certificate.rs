//! Facts read from a certificate.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{extensions::GeneralName, parse_x509_certificate, prelude::X509Certificate};

use crate::identity::{Identity, NotAnIdentity};

/// Seconds by which new certificates are backdated, so that a machine with a slow clock accepts
/// them.
pub const BACKDATED_SECONDS: i64 = 3_600;

/// Facts of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Subject, as text.
    pub subject: String,
    /// Identity in the certificate. The error explains why the certificate has no identity.
    pub identity: Result<Identity, NotAnIdentity>,
    /// DNS names and IP addresses of a server, as text.
    pub names: Vec<String>,
    /// Issuer, as text.
    pub issuer: String,
    /// Whether it may sign other certificates.
    pub is_ca: bool,
    /// Maximum number of CAs below it; `None` without a limit.
    pub path_len: Option<u32>,
    /// Serial number in hex.
    pub serial: String,
    /// Start of validity in Unix seconds.
    pub not_before_unix: i64,
    /// End of validity in Unix seconds, inclusive.
    pub not_after_unix: i64,
    /// DER of the subject public key info.
    pub public_key: Vec<u8>,
}

impl Facts {
    /// Issue time of a certificate issued by Graywave, in Unix seconds.
    pub fn issued_unix(&self) -> i64 {
        (self.not_before_unix + BACKDATED_SECONDS).min(self.not_after_unix)
    }

    /// Time to renew it, in Unix seconds: when a third of its life is left, and up to a tenth
    /// earlier, by a `spread` from 0 to 1. The spread keeps certificates that were issued together
    /// from being renewed together.
    pub fn renew_unix(&self, spread: f64) -> i64 {
        let life = self.not_after_unix.saturating_sub(self.issued_unix());
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "to spread them")]
        let earlier = (life as f64 / 10.0 * spread.clamp(0.0, 1.0)) as i64;
        self.not_after_unix - life / 3 - earlier
    }
}

/// Identity of a peer with the facts of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Identity in the certificate.
    pub identity: Identity,
    /// Serial number in hex.
    pub serial: String,
    /// Start of validity in Unix seconds.
    pub not_before_unix: i64,
    /// End of validity in Unix seconds, inclusive.
    pub not_after_unix: i64,
}

impl Certified {
    /// Reads the identity in a certificate.
    ///
    /// # Errors
    ///
    /// If the certificate has no Graywave identity. The text follows the words "its certificate".
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let Facts { identity, serial, not_before_unix, not_after_unix, .. } = read_facts(certificate)?;
        let identity = identity.map_err(|error| format!("contains no Graywave identity: {error}"))?;
        Ok(Self { identity, serial, not_before_unix, not_after_unix })
    }
}

/// Certificates of a PEM text, in order.
///
/// # Errors
///
/// When the text is not PEM or contains no certificate.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("is not valid PEM: {error}"))?;
    if found.is_empty() { Err("contains no certificate".into()) } else { Ok(found) }
}

/// Parses a DER certificate.
///
/// # Errors
///
/// When the bytes are not exactly one certificate.
pub fn read_facts(certificate: &CertificateDer<'_>) -> Result<Facts, String> {
    let (rest, read) = parse_x509_certificate(certificate)
        .map_err(|error| format!("is not a valid certificate: {error}"))?;
    if !rest.is_empty() {
        return Err("has trailing bytes after the certificate".into());
    }
    Ok(Facts {
        subject: read.subject().to_string(),
        identity: identity(&read),
        names: names(&read),
        issuer: read.issuer().to_string(),
        is_ca: read.is_ca(),
        path_len: read
            .basic_constraints()
            .ok()
            .flatten()
            .and_then(|constraints| constraints.value.path_len_constraint),
        serial: read.raw_serial_as_string(),
        not_before_unix: read.validity().not_before.timestamp(),
        not_after_unix: read.validity().not_after.timestamp(),
        public_key: read.public_key().raw.to_vec(),
    })
}

/// Names that clients connect to, in the order of the certificate.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    });
    names.collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Identity in the only URI of a certificate. With two URIs it would be ambiguous.
fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, NotAnIdentity> {
    let wrong = |reason: &str| NotAnIdentity(reason.to_owned());
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| wrong("its subject alternative names cannot be parsed"))?
        .map(|names| names.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse(),
        (None, _) => Err(wrong("it has no URI")),
        (Some(_), Some(_)) => Err(wrong("it has more than one URI")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Ca;

    #[test]
    fn the_one_uri_says_whose_it_is() {
        let ca = Ca::new();
        let read = |uris: &[&str]| read_facts(ca.signed(uris, &[], 1).cert.der()).unwrap();
        let one = read(&["graywave://role/admin/ann"]);
        assert_eq!(one.identity.unwrap().to_string(), "graywave://role/admin/ann");
        let named = read_facts(ca.signed(&[], &["a.example", "10.0.0.7", "::1"], 1).cert.der()).unwrap();
        assert_eq!(named.names, ["a.example", "10.0.0.7", "::1"]);
        assert!(!one.is_ca && one.not_after_unix - one.not_before_unix > 86_400);
        assert!(read(&[]).identity.unwrap_err().to_string().contains("no URI"));
        let two = read(&["graywave://role/admin/ann", "https://example.org"]);
        assert!(two.identity.unwrap_err().to_string().contains("more than one"));
        assert!(read(&["https://example.org"]).identity.is_err());
    }

    #[test]
    fn certificate_is_renewed_at_half_to_two_thirds_of_its_life() {
        let ca = Ca::new();
        let read = read_facts(ca.signed(&[], &[], 1).cert.der()).unwrap();
        for life in [3, 60, 86_400, 30 * 86_400] {
            let facts = Facts { not_before_unix: -BACKDATED_SECONDS, not_after_unix: life, ..read.clone() };
            assert_eq!(facts.issued_unix(), 0);
            for spread in [-1.0, 0.0, 0.5, 1.0, 2.0] {
                let due = facts.renew_unix(spread);
                assert!(due >= life / 2 && due < life && due <= life * 2 / 3 + 1, "{due} of {life}");
            }
            assert!(facts.renew_unix(1.0) <= facts.renew_unix(0.0));
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(read_certificates(b"").unwrap_err().contains("no certificate"));
        assert!(read_certificates(b"-----BEGIN CERTIFICATE-----\nMII").is_err());
        assert!(read_facts(&CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}
