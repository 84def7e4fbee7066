//! What is read from a certificate.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{extensions::GeneralName, parse_x509_certificate, prelude::X509Certificate};

use crate::identity::{Identity, NotAnIdentity};

/// A machine whose clock is behind by so much takes a new certificate all the same.
pub const BACKDATED_SECONDS: i64 = 3_600;

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

impl Facts {
    /// When a certificate of ours was made, since 1970.
    pub fn issued_unix(&self) -> i64 {
        (self.not_before_unix + BACKDATED_SECONDS).min(self.not_after_unix)
    }

    /// When to have it renewed, since 1970: when a third of its life is left, and, by a `spread` from 0 to 1, up to a tenth of it
    /// earlier, so that those that were made together do not all come at once.
    pub fn renew_unix(&self, spread: f64) -> i64 {
        let life = self.not_after_unix.saturating_sub(self.issued_unix());
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "to spread them")]
        let earlier = (life as f64 / 10.0 * spread.clamp(0.0, 1.0)) as i64;
        self.not_after_unix - life / 3 - earlier
    }
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
    fn a_certificate_is_renewed_between_a_half_and_two_thirds_of_its_life() {
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
