//! Issuing of certificates: their content, an agent's key and request, and the issuer that signs
//! certificates of desktops.

use std::{fmt, path::PathBuf};

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData as _, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;

use crate::{
    certificate::{BACKDATED_SECONDS, read_certificates, read_facts},
    files,
    identity::{Identity, Role},
    tls::{Error, Tls},
};

/// Length of an uncompressed P-256 public key: a format byte and two coordinates.
const PUBLIC_KEY_BYTES: usize = 65;

/// Limit of X.509 for a common name, in characters.
const COMMON_NAME_MAX_CHARS: usize = 64;

/// Parameters of a certificate: valid from [`BACKDATED_SECONDS`] before `issued_unix` until
/// `until_unix`.
///
/// # Errors
///
/// When a time cannot be represented in a certificate.
pub fn params(identity: &Identity, issued_unix: i64, until_unix: i64) -> Result<CertificateParams, String> {
    let uri = identity.to_string().try_into().map_err(|error: rcgen::Error| error.to_string())?;
    let mut params = base_params(&common_name(identity), usages(identity), issued_unix, until_unix)?;
    params.subject_alt_names.push(SanType::URI(uri));
    Ok(params)
}

/// Parameters of a server certificate without an identity, which authenticates no client. Times are
/// as in [`params`].
///
/// # Errors
///
/// When a time cannot be represented in a certificate.
pub fn server_params(name: &str, issued_unix: i64, until_unix: i64) -> Result<CertificateParams, String> {
    base_params(name, vec![ExtendedKeyUsagePurpose::ServerAuth], issued_unix, until_unix)
}

fn base_params(
    common_name: &str,
    usages: Vec<ExtendedKeyUsagePurpose>,
    issued_unix: i64,
    until_unix: i64,
) -> Result<CertificateParams, String> {
    let time = |unix| OffsetDateTime::from_unix_timestamp(unix).map_err(|error| error.to_string());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // X.509 limits the common name, which is for display only.
    let common_name: String = common_name.chars().take(COMMON_NAME_MAX_CHARS).collect();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    params.not_before = time(issued_unix - BACKDATED_SECONDS)?;
    params.not_after = time(until_unix)?;
    Ok(params)
}

/// Usages of a certificate. Signing and connecting exclude each other.
fn usages(identity: &Identity) -> Vec<ExtendedKeyUsagePurpose> {
    if identity.has_role(Role::Signer) {
        return vec![ExtendedKeyUsagePurpose::CodeSigning];
    }
    let mut usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if matches!(identity, Identity::Role { .. }) {
        usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    usages
}

/// Common name for display; it does not identify.
fn common_name(identity: &Identity) -> String {
    match identity {
        Identity::Role { role, name } => format!("{role} {name}"),
        Identity::Principal { principal, .. } => format!("principal {principal}"),
        Identity::Desktop { desktop_id, .. } => format!("desktop {desktop_id}"),
    }
}

/// Key generated on this machine.
pub struct NewKey(KeyPair);

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey")
    }
}

impl NewKey {
    /// Generates a key.
    ///
    /// # Errors
    ///
    /// When the machine has no source of randomness.
    pub fn generate() -> Result<Self, String> {
        KeyPair::generate().map(Self).map_err(|error| error.to_string())
    }

    /// Reads a key from PEM.
    ///
    /// # Errors
    ///
    /// When the text contains no such key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        KeyPair::from_pem(pem).map(Self).map_err(|error| error.to_string())
    }

    /// Key as PEM.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// PKCS#10 request in DER, signed with the key. It contains no name: the issuer decides on the
    /// identity.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub fn request(&self) -> Result<Vec<u8>, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(|error| error.to_string())?;
        Ok(request.der().to_vec())
    }

    /// Whether a certificate belongs to this key.
    pub fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        read_facts(certificate).is_ok_and(|facts| facts.public_key == self.0.subject_public_key_info())
    }
}

/// Certificate request whose sender has proved possession of the key.
pub struct Request {
    public_key: PublicKey,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request")
    }
}

impl Request {
    /// Reads a PKCS#10 request in DER, and checks its signature. Only the key is used.
    ///
    /// # Errors
    ///
    /// When it is malformed, its signature is not valid, or its key is not on P-256.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let read = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map_err(|error| format!("the certificate request is not valid: {error}"))?;
        let public_key = read.public_key;
        let is_p256 = public_key.algorithm() == &PKCS_ECDSA_P256_SHA256
            && public_key.der_bytes().len() == PUBLIC_KEY_BYTES;
        if is_p256 { Ok(Self { public_key }) } else { Err("the key must be on the curve P-256".into()) }
    }

    /// Public key as it appears in the certificate.
    pub fn public_key(&self) -> Vec<u8> {
        self.public_key.subject_public_key_info()
    }
}

/// Files of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerFiles {
    /// Certificate of the issuer, signed by a CA.
    pub cert: PathBuf,
    /// Private key of the issuer.
    pub key: PathBuf,
}

/// Intermediate CA that signs certificates of desktops. Certificates for other identities from it
/// are not accepted.
pub struct Issuer {
    certificate: CertificateDer<'static>,
    inner: rcgen::Issuer<'static, KeyPair>,
    /// End of validity in Unix seconds, inclusive.
    pub not_after_unix: i64,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("not_after_unix", &self.not_after_unix).finish_non_exhaustive()
    }
}

/// Signed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// DER certificates: the leaf, then the issuer.
    pub chain: Vec<Vec<u8>>,
    /// Serial number in hex.
    pub serial: String,
    /// End of validity in Unix seconds, inclusive.
    pub not_after_unix: i64,
}

impl Issuer {
    /// Reads the files of an issuer. Blocks while it reads two small files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the files do not match, or no CA of `tls` signed the issuer. No
    /// peer would accept certificates of such an issuer.
    pub fn load(files: &IssuerFiles, tls: &Tls) -> Result<Self, Error> {
        let read =
            |path: &PathBuf| files::read(path).map_err(|source| Error::Read { path: path.clone(), source });
        let wrong = |path: &PathBuf, reason: String| Error::Wrong { path: path.clone(), reason };
        let of_cert = |reason: String| wrong(&files.cert, reason);
        let certificate = read_certificates(&read(&files.cert)?).map_err(of_cert)?.swap_remove(0);
        let facts = read_facts(&certificate).map_err(of_cert)?;
        if !facts.is_ca {
            return Err(of_cert(
                "is not an issuer's certificate: create one with `graywave ca issuer`".into(),
            ));
        }
        if !tls.trusted().contains(&facts.issuer) {
            return Err(of_cert(format!("is signed by {}, which is not a CA of tls.ca_file", facts.issuer)));
        }
        let no_key = |reason: &str| wrong(&files.key, reason.to_owned());
        let pem = String::from_utf8(read(&files.key)?).map_err(|_| no_key("contains no private key"))?;
        let key = KeyPair::from_pem(&pem).map_err(|_| no_key("contains no private key"))?;
        if key.subject_public_key_info() != facts.public_key {
            return Err(no_key("does not match the certificate"));
        }
        let inner = rcgen::Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| of_cert(format!("cannot be loaded: {error}")))?;
        Ok(Self { certificate, inner, not_after_unix: facts.not_after_unix })
    }

    /// Signs a certificate for a desktop, valid until `until_unix` or the issuer's own expiry.
    ///
    /// # Errors
    ///
    /// When the identity is not a desktop, or the issuer has expired.
    pub fn sign(
        &self,
        identity: &Identity,
        request: &Request,
        issued_unix: i64,
        until_unix: i64,
    ) -> Result<Issued, String> {
        if !identity.is_desktop() {
            return Err(format!("{identity} is not a desktop"));
        }
        if self.not_after_unix <= issued_unix {
            return Err(
                "the issuer's certificate has expired: create a new one with `graywave ca issuer`".into()
            );
        }
        let not_after_unix = until_unix.min(self.not_after_unix);
        let signed = params(identity, issued_unix, not_after_unix)?
            .signed_by(&request.public_key, &self.inner)
            .map_err(|error| error.to_string())?;
        let serial = read_facts(signed.der())?.serial;
        let chain = vec![signed.der().to_vec(), self.certificate.to_vec()];
        Ok(Issued { chain, serial, not_after_unix })
    }
}

impl Identity {
    /// Whether peers dial it, so that its certificate needs a host name or an address.
    pub fn is_dialled(&self) -> bool {
        self.has_role(Role::Scheduler) || self.has_role(Role::Worker)
    }
}
