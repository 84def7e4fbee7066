//! Issues certificates of roles, principals and desktops.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use mtls::{Identity, Role};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType};

use super::authority::Authority;

/// Certificate to issue.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Identity; `None` for a server certificate, which authenticates no client.
    pub(super) identity: Option<Identity>,
    pub(super) dns: Vec<String>,
    pub(super) ip: Vec<IpAddr>,
    pub(super) days: u16,
}

/// Certificate and private key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
    pub(super) not_after_unix: i64,
    /// Whether the expiry of the CA shortened the requested lifetime.
    pub(super) is_cut: bool,
}

/// Issues a certificate. Its lifetime ends at the latest with the CA's.
pub(super) fn issue(authority: &Authority, wanted: &Wanted, now: DateTime<Utc>) -> anyhow::Result<Pair> {
    let ends =
        DateTime::from_timestamp(authority.not_after_unix, 0).context("the CA's expiry is out of range")?;
    if ends <= now {
        bail!("the CA has expired: run `graywave ca rotate`");
    }
    let asked = now + TimeDelta::days(wanted.days.into());
    let until = asked.min(ends);
    let params = params(wanted, until, now)?;
    let is_signer = wanted.identity.as_ref().is_some_and(|identity| identity.has_role(Role::Signer));
    let key = KeyPair::generate_for(if is_signer { &PKCS_ED25519 } else { &PKCS_ECDSA_P256_SHA256 })?;
    let certificate = params.signed_by(&key, &authority.issuer)?;
    Ok(Pair {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        not_after_unix: until.timestamp(),
        is_cut: asked > ends,
    })
}

fn params(wanted: &Wanted, until: DateTime<Utc>, now: DateTime<Utc>) -> anyhow::Result<CertificateParams> {
    let Wanted { identity, dns, ip, .. } = wanted;
    if identity.as_ref().is_none_or(Identity::is_dialled) && dns.is_empty() && ip.is_empty() {
        bail!(
            "a certificate of a server, a scheduler or a worker needs --dns or --ip: the names or addresses that \
             clients connect to"
        );
    }
    let (issued_unix, until_unix) = (now.timestamp(), until.timestamp());
    let params = match identity {
        Some(identity) => mtls::params(identity, issued_unix, until_unix),
        None => {
            let first = dns.first().cloned().or_else(|| ip.first().map(ToString::to_string));
            mtls::server_params(&first.unwrap_or_default(), issued_unix, until_unix)
        }
    };
    let mut params = params.map_err(anyhow::Error::msg)?;
    for name in dns {
        let name = name.as_str().try_into().with_context(|| format!("invalid DNS name {name:?} in --dns"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(ip.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

#[cfg(test)]
mod tests {
    use mtls::{Role, read_certificates, read_facts};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn wanted(identity: Identity, days: u16) -> Wanted {
        Wanted { identity: Some(identity), dns: Vec::new(), ip: Vec::new(), days }
    }

    #[test]
    fn a_certificate_says_whose_it_is_and_ends_with_its_ca() {
        let authority = Authority::make(100, now()).unwrap();
        let desktop = Identity::desktop("my project", "d/1").unwrap();
        let pair = issue(&authority, &wanted(desktop.clone(), 10), now()).unwrap();
        let facts = read_facts(&read_certificates(pair.certificate_pem.as_bytes()).unwrap()[0]).unwrap();
        assert_eq!(facts.identity, Ok(desktop.clone()));
        assert_eq!(facts.not_after_unix, now().timestamp() + 10 * 86_400);
        assert!(facts.not_before_unix < now().timestamp() && !facts.is_ca && !pair.is_cut);
        let cut = issue(&authority, &wanted(desktop.clone(), 101), now()).unwrap();
        assert!(cut.is_cut && cut.not_after_unix == authority.not_after_unix);
        let late = issue(&authority, &wanted(desktop, 1), now() + TimeDelta::days(100));
        assert!(late.unwrap_err().to_string().contains("expired"));
    }

    #[test]
    fn who_is_dialled_needs_a_name_that_is_one() {
        let authority = Authority::make(1, now()).unwrap();
        let worker = || Identity::role(Role::Worker, "w").unwrap();
        let refused = issue(&authority, &wanted(worker(), 1), now()).unwrap_err();
        assert!(refused.to_string().contains("--dns or --ip"));
        let named = Wanted { dns: vec!["büro".into()], ..wanted(worker(), 1) };
        assert!(issue(&authority, &named, now()).unwrap_err().to_string().contains("invalid DNS name"));
        issue(&authority, &wanted(Identity::role(Role::Admin, "ann").unwrap(), 1), now()).unwrap();
    }

    #[test]
    fn server_certificate_has_names_and_no_identity() {
        let authority = Authority::make(10, now()).unwrap();
        let unnamed = Wanted { identity: None, dns: Vec::new(), ip: Vec::new(), days: 1 };
        let refused = issue(&authority, &unnamed, now()).unwrap_err().to_string();
        assert!(refused.contains("--dns or --ip"), "{refused}");
        let (dns, ip) = (vec!["graywave.example.com".into()], vec![[10, 0, 0, 7].into()]);
        let pair = issue(&authority, &Wanted { dns, ip, ..unnamed }, now()).unwrap();
        let facts = read_facts(&read_certificates(pair.certificate_pem.as_bytes()).unwrap()[0]).unwrap();
        assert!(facts.identity.is_err() && !facts.is_ca);
        assert_eq!(facts.names, ["graywave.example.com", "10.0.0.7"]);
    }
}
