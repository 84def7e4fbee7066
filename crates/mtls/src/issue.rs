//! Certificates that are made: what one of ours holds, an agent's key and its request, and the issuer that signs for
//! desktops.

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

/// Of a key on P-256: a byte that says which form, and two coordinates.
const PUBLIC_KEY_BYTES: usize = 65;

/// What a certificate of ours holds, whoever signs it: good from a little before `issued_unix`, until `until_unix`.
///
/// # Errors
///
/// Times that no certificate can name.
pub fn params(identity: &Identity, issued_unix: i64, until_unix: i64) -> Result<CertificateParams, String> {
    let time = |unix| OffsetDateTime::from_unix_timestamp(unix).map_err(|error| error.to_string());
    let uri = identity.to_string().try_into().map_err(|error: rcgen::Error| error.to_string())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name(identity));
    params.subject_alt_names.push(SanType::URI(uri));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages(identity);
    params.use_authority_key_identifier_extension = true;
    params.not_before = time(issued_unix - BACKDATED_SECONDS)?;
    params.not_after = time(until_unix)?;
    Ok(params)
}

/// A signer opens no connection, and who opens connections signs nothing.
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

/// For people: nobody is known by it. X.509 has room for 64 characters.
fn common_name(identity: &Identity) -> String {
    let name = match identity {
        Identity::Role { role, name } => format!("{role} {name}"),
        Identity::Principal { principal, .. } => format!("principal {principal}"),
        Identity::Desktop { desktop_id, .. } => format!("desktop {desktop_id}"),
    };
    name.chars().take(64).collect()
}

/// A key that was made on this machine, and its request for a certificate.
pub struct NewKey(KeyPair);

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey")
    }
}

impl NewKey {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// A machine without randomness.
    pub fn generate() -> Result<Self, String> {
        KeyPair::generate().map(Self).map_err(|error| error.to_string())
    }

    /// One that was written before.
    ///
    /// # Errors
    ///
    /// A text that holds no such key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        KeyPair::from_pem(pem).map(Self).map_err(|error| error.to_string())
    }

    /// The key, for its file.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// PKCS#10 in DER, signed with the key. It names nobody: who the certificate is of is for the issuer to say.
    ///
    /// # Errors
    ///
    /// A key that cannot sign.
    pub fn request(&self) -> Result<Vec<u8>, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(|error| error.to_string())?;
        Ok(request.der().to_vec())
    }

    /// Whether a certificate is of this key.
    pub fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        read_facts(certificate).is_ok_and(|facts| facts.public_key == self.0.subject_public_key_info())
    }
}

/// A request whose sender has the key that it is for.
pub struct Request {
    public_key: PublicKey,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request")
    }
}

impl Request {
    /// Reads PKCS#10 in DER, and checks its signature. Of what it says only the key is taken.
    ///
    /// # Errors
    ///
    /// Something else, a bad signature, or another kind of key, in words.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let read = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map_err(|error| format!("the certificate request is not good: {error}"))?;
        let public_key = read.public_key;
        let is_p256 = public_key.algorithm() == &PKCS_ECDSA_P256_SHA256
            && public_key.der_bytes().len() == PUBLIC_KEY_BYTES;
        if is_p256 { Ok(Self { public_key }) } else { Err("the key must be one on the curve P-256".into()) }
    }

    /// The key, as it will stand in the certificate.
    pub fn public_key(&self) -> Vec<u8> {
        self.public_key.subject_public_key_info()
    }
}

/// The files of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerFiles {
    /// Its certificate, which a CA has signed.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// An intermediate CA that signs certificates of desktops, and of nobody else: others are not believed from it.
pub struct Issuer {
    certificate: CertificateDer<'static>,
    inner: rcgen::Issuer<'static, KeyPair>,
    /// The last second in which it is good, since 1970.
    pub not_after_unix: i64,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("not_after_unix", &self.not_after_unix).finish_non_exhaustive()
    }
}

/// A certificate that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// It, and what lies between it and the CA, each in DER.
    pub chain: Vec<Vec<u8>>,
    /// Its serial number in hex.
    pub serial: String,
    /// The last second in which it is good, since 1970.
    pub not_after_unix: i64,
}

impl Issuer {
    /// Reads the files, so that what is in them counts. It blocks, for as long as two small files take.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, do not fit together, or are of an issuer that no CA of `tls` has signed: nobody would
    /// believe it.
    pub fn load(files: &IssuerFiles, tls: &Tls) -> Result<Self, Error> {
        let read =
            |path: &PathBuf| files::read(path).map_err(|source| Error::Read { path: path.clone(), source });
        let wrong = |path: &PathBuf, reason: String| Error::Wrong { path: path.clone(), reason };
        let of_cert = |reason: String| wrong(&files.cert, reason);
        let certificate = read_certificates(&read(&files.cert)?).map_err(of_cert)?.swap_remove(0);
        let facts = read_facts(&certificate).map_err(of_cert)?;
        if !facts.is_ca {
            return Err(of_cert(
                "is not the certificate of an issuer: `graywave ca issuer` makes one".into(),
            ));
        }
        if !tls.trusted().contains(&facts.issuer) {
            return Err(of_cert(format!("is signed by {}, which is no CA of tls.ca_file", facts.issuer)));
        }
        let no_key = |reason: &str| wrong(&files.key, reason.to_owned());
        let pem = String::from_utf8(read(&files.key)?).map_err(|_| no_key("holds no private key"))?;
        let key = KeyPair::from_pem(&pem).map_err(|_| no_key("holds no private key"))?;
        if key.subject_public_key_info() != facts.public_key {
            return Err(no_key("is not the key of the certificate"));
        }
        let inner = rcgen::Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| of_cert(format!("cannot be used: {error}")))?;
        Ok(Self { certificate, inner, not_after_unix: facts.not_after_unix })
    }

    /// Signs a certificate for a desktop, good until `until_unix` or the issuer's own end.
    ///
    /// # Errors
    ///
    /// An identity that is no desktop's, or an issuer that has ended.
    pub fn sign(
        &self,
        identity: &Identity,
        request: &Request,
        issued_unix: i64,
        until_unix: i64,
    ) -> Result<Issued, String> {
        if !identity.is_desktop() {
            return Err(format!("{identity} is no desktop"));
        }
        if self.not_after_unix <= issued_unix {
            return Err("the issuer's certificate has expired: `graywave ca issuer` makes a new one".into());
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
    /// Whether others dial it, so that its certificate needs a name or an address.
    pub fn is_dialled(&self) -> bool {
        self.has_role(Role::Scheduler) || self.has_role(Role::Worker)
    }
}
