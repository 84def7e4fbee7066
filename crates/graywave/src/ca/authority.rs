//! The certificate and the key of a CA.

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use mtls::{BACKDATED_SECONDS, CertificateDer, read_certificates, read_facts};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use time::OffsetDateTime;

/// A CA with its private key.
#[derive(Debug)]
pub(super) struct Authority {
    certificate: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) not_after_unix: i64,
}

impl Authority {
    /// Creates a CA that is valid for `days`.
    pub(super) fn make(days: u16, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // Unique subject: a peer that trusts two CAs selects the right one by its subject.
        let id = hex::encode(params.key_identifier(&key).get(..4).unwrap_or_default());
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Graywave CA {id}"));
        // Path length 1: the CA signs issuers, and issuers sign no further CAs.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now + TimeDelta::days(days.into()), now)?;
        let made = CertifiedIssuer::self_signed(params, key)?;
        Self::read(&made.pem(), &made.key().serialize_pem())
    }

    /// Creates an issuer of desktop certificates, signed by this CA. Returns certificate and key in
    /// PEM, and the expiry as a Unix time in seconds.
    pub(super) fn issuer(&self, days: u16, now: DateTime<Utc>) -> anyhow::Result<(String, String, i64)> {
        if read_facts(&self.certificate).map_err(in_ca_crt)?.path_len == Some(0) {
            bail!("this CA may not sign an issuer: run `graywave ca rotate`");
        }
        let ends =
            DateTime::from_timestamp(self.not_after_unix, 0).context("the CA's expiry is out of range")?;
        if ends <= now {
            bail!("the CA has expired: run `graywave ca rotate`");
        }
        let until = (now + TimeDelta::days(days.into())).min(ends);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        let id = hex::encode(params.key_identifier(&key).get(..4).unwrap_or_default());
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Graywave desktops {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Desktops are clients: no server certificate below the issuer is accepted.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, until, now)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem(), until.timestamp()))
    }

    /// Reads the CA from its key and the matching certificate of `ca.crt`.
    pub(super) fn read(certificates: &str, key: &str) -> anyhow::Result<Self> {
        let key = KeyPair::from_pem(key).context("ca.key holds no private key")?;
        let public_key = key.subject_public_key_info();
        for certificate in read_certificates(certificates.as_bytes()).map_err(in_ca_crt)? {
            let facts = read_facts(&certificate).map_err(in_ca_crt)?;
            if facts.public_key == public_key {
                let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
                return Ok(Self { certificate, issuer, not_after_unix: facts.not_after_unix });
            }
        }
        bail!("ca.crt holds no certificate of the key in ca.key")
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the private key in PEM.
    pub(super) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

fn in_ca_crt(reason: String) -> anyhow::Error {
    anyhow::anyhow!("ca.crt {reason}")
}

/// Sets the validity: from slightly before `now`, against clock skew, to the expiry.
fn set_validity(
    params: &mut CertificateParams,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    params.not_before = OffsetDateTime::from_unix_timestamp(now.timestamp() - BACKDATED_SECONDS)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(until.timestamp())?;
    Ok(())
}
