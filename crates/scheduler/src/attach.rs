//! Verifies signed attaches and answers them with session keys.

use domain::desktop::{Attach, Certificate, DesktopFacts};
use mtls::{
    CertificateDer, Certified, Identity, Proof, SessionOffer, Shown, Signer, check_denied, read_facts,
    verify_proof,
};
use prost::Message as _;
use proto::{
    session_signing::{self, Sender},
    types::{AttachStatement, Desktop, Session, SignedAttach},
    unix_ms_opt,
};
use store::desktop::LastAttach;

use crate::session_keys::SessionKeys;

/// Verifier of the attaches that one worker reports.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// Signs the answers, and knows the trusted CAs.
    pub(crate) signer: Signer,
    pub(crate) session_keys: SessionKeys,
    /// Identity in the certificate of the worker.
    pub(crate) worker: Identity,
    /// Time of the schedulers in Unix seconds.
    pub(crate) now_unix: i64,
}

/// A verified attach and the answer to it.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) facts: DesktopFacts,
    pub(crate) session: Session,
}

/// Cause for which an attach is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotVerified {
    /// The attach is refused, for this reason.
    Refused(String),
    /// This scheduler cannot answer now.
    Unavailable(String),
}

impl Verifier {
    /// Verifies the attach of a desktop. `last` is the last accepted one, which is not verified
    /// again. Costs up to a millisecond.
    pub(crate) fn verify(
        &self,
        desktop: &Desktop,
        last: Option<&LastAttach>,
    ) -> Result<Verified, NotVerified> {
        let refused = |reason: &str| NotVerified::Refused(reason.to_owned());
        let attach = desktop.attach.as_ref();
        let attach = attach.ok_or_else(|| refused("the attach is not signed: update agent and worker"))?;
        let sha256 = session_signing::attach_sha256(attach);
        let statement = AttachStatement::decode(attach.statement.as_slice())
            .map_err(|_| refused("the signed attach cannot be decoded"))?;
        if statement.worker != self.worker.to_string() {
            return Err(refused("the desktop is attached to another worker"));
        }
        let signed = statement.desktop.unwrap_or_default();
        if (&signed.project_id, &signed.desktop_id) != (&desktop.project_id, &desktop.desktop_id) {
            return Err(refused("another desktop signed the attach"));
        }
        if statement.number == 0 || signed.incarnation == 0 || signed.agent_id.is_empty() {
            return Err(refused("the signed attach has no position"));
        }
        let known = last.filter(|last| last.sha256 == sha256);
        let certified = match known {
            Some(_) => self.valid(attach),
            None => self.certified(attach),
        };
        let certified = certified.map_err(NotVerified::Refused)?;
        if Identity::desktop(&signed.project_id, &signed.desktop_id).as_ref() != Ok(&certified.identity) {
            return Err(refused("another desktop signed the attach"));
        }
        let facts = Desktop {
            connected_at_unix_ms: desktop.connected_at_unix_ms,
            certificate: None,
            attach: None,
            ..signed
        };
        let facts = facts.facts().map_err(|error| NotVerified::Refused(error.to_string()))?;
        let (session, session_key) = match known {
            Some(last) => {
                let (attach_sha256, public_key) = (sha256.to_vec(), last.public_key.clone());
                (self.signed(Session { attach_sha256, public_key, ..Session::default() })?, None)
            }
            None => {
                let (session, key) = self.answer(sha256, &statement.public_key, &facts)?;
                (session, Some(key))
            }
        };
        let public_key = session.public_key.as_slice().try_into().unwrap_or_default();
        let attach = Some(Attach { number: statement.number, sha256, public_key, session_key });
        let certificate = Some(certificate(certified));
        Ok(Verified { facts: DesktopFacts { certificate, attach, ..facts }, session })
    }

    fn certified(&self, attach: &SignedAttach) -> Result<Certified, String> {
        let proof = Proof {
            chain: attach.chain.clone(),
            scheme: u16::try_from(attach.scheme).unwrap_or_default(),
            signature: attach.signature.clone(),
        };
        verify_proof(self.signer.tls(), &session_signing::attach_message(attach), &proof)
    }

    /// Certificate of an attach that was verified before, if it is still valid.
    fn valid(&self, attach: &SignedAttach) -> Result<Certified, String> {
        let leaf = attach.chain.first().map(Vec::as_slice).unwrap_or_default();
        let facts = read_facts(&CertificateDer::from(leaf))?;
        check_denied(self.signer.tls(), &attach.chain)?;
        if facts.not_after_unix < self.now_unix {
            return Err("the certificate has expired".into());
        }
        Ok(Certified {
            identity: facts.identity.map_err(|error| error.to_string())?,
            serial: facts.serial,
            not_before_unix: facts.not_before_unix,
            not_after_unix: facts.not_after_unix,
        })
    }

    /// Agrees on a session key; returns the answer for the agent and the stored form of the key.
    fn answer(
        &self,
        sha256: [u8; 32],
        public_key: &[u8],
        facts: &DesktopFacts,
    ) -> Result<(Session, Vec<u8>), NotVerified> {
        let offer = SessionOffer::generate().map_err(NotVerified::Unavailable)?;
        let session = Session {
            attach_sha256: sha256.to_vec(),
            public_key: offer.public_key().to_vec(),
            ..Session::default()
        };
        let sender = Sender {
            project_id: facts.project_id.as_str(),
            desktop_id: facts.desktop_id.as_str(),
            agent_id: &facts.agent_id,
        };
        let key = offer.agree(public_key, &session_signing::key_context(&session, sender));
        let key = key.map_err(NotVerified::Refused)?;
        let id = session_signing::key_id(&session);
        let stored = self.session_keys.stored((&facts.project_id, &facts.desktop_id), &id, &key);
        Ok((self.signed(session)?, stored))
    }

    fn signed(&self, session: Session) -> Result<Session, NotVerified> {
        let shown = self.signer.sign(&session_signing::session_message(&session));
        let Shown { certificate, signature } = shown.map_err(NotVerified::Unavailable)?;
        Ok(Session { certificate, signature, ..session })
    }
}

fn certificate(certified: Certified) -> Certificate {
    let moment = |unix: i64| unix_ms_opt(unix.saturating_mul(1_000)).unwrap_or_default();
    Certificate {
        serial: certified.serial,
        not_before: moment(certified.not_before_unix),
        not_after: moment(certified.not_after_unix),
    }
}
