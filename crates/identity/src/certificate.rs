//! What is read from a certificate.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{extensions::GeneralName, parse_x509_certificate, prelude::X509Certificate};

use crate::who::{Identity, NotAnIdentity};

/// What a certificate says, for a person and for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The subject, in words.
    pub subject: String,
    /// Who it is of; an error says why that cannot be told.
    pub identity: Result<Identity, NotAnIdentity>,
    /// Who signed it, in words.
    pub issuer: String,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// How many CAs may stand below it; `None` where it does not say.
    pub path_len: Option<u32>,
    /// The serial number in hex.
    pub serial: String,
    /// The first second in which it is good, since 1970.
    pub not_before_unix: i64,
    /// The last second in which it is good, since 1970.
    pub not_after_unix: i64,
    /// The public key, as it stands in the certificate.
    pub public_key: Vec<u8>,
}

/// Who somebody is, and by which certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Who.
    pub identity: Identity,
    /// The certificate's serial number in hex.
    pub serial: String,
    /// The first second in which it is good, since 1970.
    pub not_before_unix: i64,
    /// The last second in which it is good, since 1970.
    pub not_after_unix: i64,
}

impl Certified {
    /// Whose certificate this is.
    ///
    /// # Errors
    ///
    /// Nobody's, in words that go behind "its certificate".
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let Facts { identity, serial, not_before_unix, not_after_unix, .. } = read_facts(certificate)?;
        let identity = identity.map_err(|error| format!("names nobody: {error}"))?;
        Ok(Self { identity, serial, not_before_unix, not_after_unix })
    }
}

/// The certificates of a PEM text, in their order.
///
/// # Errors
///
/// A text that is not PEM, or without a certificate.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("is not PEM: {error}"))?;
    if found.is_empty() { Err("holds no certificate".into()) } else { Ok(found) }
}

/// What a certificate says.
///
/// # Errors
///
/// Something that is no certificate.
pub fn read_facts(certificate: &CertificateDer<'_>) -> Result<Facts, String> {
    let (rest, read) =
        parse_x509_certificate(certificate).map_err(|error| format!("holds no certificate: {error}"))?;
    if !rest.is_empty() {
        return Err("holds something behind a certificate".into());
    }
    Ok(Facts {
        subject: read.subject().to_string(),
        identity: identity(&read),
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

/// Who a certificate is of: its one URI says so. One with two could be read as of either.
fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, NotAnIdentity> {
    let wrong = |reason: &str| NotAnIdentity(reason.to_owned());
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| wrong("its alternative names cannot be read"))?
        .map(|names| names.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse(),
        (None, _) => Err(wrong("it has no URI that says whose it is")),
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
        assert!(!one.is_ca && one.not_after_unix - one.not_before_unix > 86_400);
        assert!(read(&[]).identity.unwrap_err().to_string().contains("no URI"));
        let two = read(&["graywave://role/admin/ann", "https://example.org"]);
        assert!(two.identity.unwrap_err().to_string().contains("more than one"));
        assert!(read(&["https://example.org"]).identity.is_err());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(read_certificates(b"").unwrap_err().contains("no certificate"));
        assert!(read_certificates(b"-----BEGIN CERTIFICATE-----\nMII").is_err());
        assert!(read_facts(&CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}
