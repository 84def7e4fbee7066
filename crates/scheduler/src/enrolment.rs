//! Certificates of desktops: enrolment with a token, and renewal with the current certificate.

use chrono::TimeDelta;
use domain::{
    Error, Reason, Timestamp,
    audit::NO_DETAILS,
    enrolment::{self, Issued},
    ids::{DesktopId, ProjectId},
};
use mtls::{Identity, Issuer, Request};
use proto::certificate_signing;
use sha2::{Digest as _, Sha256};
use store::{
    Tx, audit,
    audit::NewEntry,
    desktop,
    enrolment::{self as stored, HeldToken, NewCertificate},
    project,
};
use telemetry::metric;
use uuid::{NoContext, Uuid};

use crate::{Scheduler, issuing::Enrolment};

/// Principal in the audit log: an enrolment has no principal of the project.
const ENROLMENT: &str = "enrolment";
const ENROL: &str = "graywave:desktops:enrol";
const RENEW: &str = "graywave:desktops:renew";
/// Time that expired certificates stay stored, as a margin for clock errors.
const REVOCATION_RETENTION: TimeDelta = TimeDelta::days(7);

/// Request for a certificate, with its source.
#[derive(Debug, Clone, Copy)]
pub struct AskedBy<'a> {
    /// PKCS#10 request in DER.
    pub request: &'a [u8],
    /// Signature over the request, with the key of the token or of the current certificate.
    pub signature: &'a [u8],
    /// Source address of the call, for the audit log.
    pub source: &'a str,
}

/// Certificate to sign and store.
struct Order<'a> {
    project_id: &'a ProjectId,
    desktop_id: &'a DesktopId,
    token_id: Option<Uuid>,
    /// Action, credential and source for the audit log.
    action: &'a str,
    credential: &'a str,
    source: &'a str,
}

fn not_a_request(message: impl Into<String>) -> Error {
    Error::invalid("certificate_request", message)
}

impl Scheduler {
    fn enrolment(&self) -> Result<&Enrolment, Error> {
        self.enrolment.as_deref().ok_or_else(|| {
            let message = "enrolment is disabled: this cluster has no issuer; use `graywave ca issue`";
            Error::new(Reason::EnrolmentDisabled, message)
        })
    }

    /// Enrols a desktop with a token. Returns the DER certificate and its intermediates. The same
    /// token and key return the same certificate again.
    ///
    /// # Errors
    ///
    /// When the request is not signed with the token, or is malformed. When the token is not valid
    /// for this desktop now, or the cluster has no issuer.
    pub async fn enrol(
        &self,
        token_id: &str,
        desktop_id: &DesktopId,
        asked: AskedBy<'_>,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let enrolment = self.enrolment()?;
        let token_id = Uuid::try_parse(token_id).map_err(|_| enrolment::unknown_token())?;
        let request = Request::read(asked.request).map_err(not_a_request)?;
        let issuer = enrolment.issuer().await?;
        let mut tx = self.store.begin().await?;
        let HeldToken { project_id, token, public_key: token_key } =
            stored::hold_token(&mut tx, token_id).await?.ok_or_else(enrolment::unknown_token)?;
        // The worker in between sees the signature, which fits this request of this desktop only.
        let text_id = token_id.simple().to_string();
        let message = certificate_signing::enrolment(&text_id, desktop_id.as_str(), asked.request);
        if !mtls::is_signed_by_token(&token_key, &message, asked.signature) {
            metric::ENROLMENTS_REFUSED.increment(1, &[]);
            tracing::warn!(
                %project_id, %desktop_id, token_id = text_id, source = asked.source,
                "enrolment refused: the request is not signed with the token"
            );
            return Err(enrolment::unknown_token());
        }
        stored::hold_desktop(&mut tx, &project_id, desktop_id).await?;
        let standing = stored::standing(&mut tx, &project_id, desktop_id).await?;
        if token.revoked_at.is_none() {
            let key = public_key(&request);
            let before =
                stored::signed_before(&mut tx, &project_id, desktop_id, &key, Some(token_id), now).await?;
            if let Some(chain) = before {
                tracing::info!(
                    %project_id, %desktop_id,
                    "enrolment repeated: returned the existing certificate"
                );
                return Ok(chain);
            }
        }
        enrolment::check(&token, desktop_id, standing, now).inspect_err(|error| {
            let (token_id, reason) = (token_id.simple(), error.to_string());
            metric::ENROLMENTS_REFUSED.increment(1, &[]);
            tracing::warn!(
                %project_id, %desktop_id, %token_id, reason, source = asked.source,
                "enrolment refused"
            );
        })?;
        stored::spend(&mut tx, token_id).await?;
        if !token.assignment.is_empty() {
            desktop::assign(&mut tx, &project_id, desktop_id, &token.assignment).await?;
        }
        let order = Order {
            project_id: &project_id,
            desktop_id,
            token_id: Some(token_id),
            action: ENROL,
            credential: &format!("enrolmentToken:{}", token_id.simple()),
            source: asked.source,
        };
        self.sign(tx, &issuer, &order, &request, now).await
    }

    /// Issues the next certificate of a desktop that authenticated with the certificate `serial`.
    ///
    /// # Errors
    ///
    /// When the request is not signed with that certificate's key, or is malformed. When the
    /// certificate is revoked, too new or not from an enrolment, or the cluster has no issuer.
    pub async fn renew_certificate(
        &self,
        project_id: &ProjectId,
        desktop_id: &DesktopId,
        serial: &str,
        asked: AskedBy<'_>,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let enrolment = self.enrolment()?;
        let request = Request::read(asked.request).map_err(not_a_request)?;
        let issuer = enrolment.issuer().await?;
        let mut tx = self.store.begin().await?;
        if project::is_revoked(&mut tx, project_id).await? {
            return Err(Error::new(Reason::ProjectRevoked, format!("project {project_id} is revoked")));
        }
        stored::hold_desktop(&mut tx, project_id, desktop_id).await?;
        let known = stored::issued(&mut tx, project_id, desktop_id, serial).await?;
        // Otherwise a stolen worker could certify a key of its own.
        if let Some((_, certificate)) = &known {
            let message =
                certificate_signing::renewal(project_id.as_str(), desktop_id.as_str(), serial, asked.request);
            mtls::verify_possession(certificate, &message, asked.signature).map_err(|reason| {
                metric::ENROLMENTS_REFUSED.increment(1, &[]);
                tracing::warn!(
                    %project_id, %desktop_id, serial, reason, source = asked.source,
                    "certificate renewal refused: its request is not signed by the desktop"
                );
                Error::new(
                    Reason::EnrolmentRefused,
                    "the renewal is not signed with the key of the desktop's current certificate",
                )
            })?;
        }
        if enrolment.is_denied(serial) {
            metric::ENROLMENTS_REFUSED.increment(1, &[]);
            tracing::warn!(%project_id, %desktop_id, serial, "certificate renewal refused: it is denied");
            return Err(Error::new(Reason::EnrolmentRefused, "the desktop's certificate is denied"));
        }
        let known: Option<Issued> = known.map(|(known, _)| known);
        let is_good = known.is_some_and(|known| known.revoked_at.is_none() && known.not_after > now);
        if is_good {
            let key = public_key(&request);
            let before = stored::signed_before(&mut tx, project_id, desktop_id, &key, None, now).await?;
            if let Some(chain) = before {
                return Ok(chain);
            }
        }
        enrolment::check_renewal(known, now).inspect_err(|error| {
            metric::ENROLMENTS_REFUSED.increment(1, &[]);
            tracing::warn!(%project_id, %desktop_id, serial, reason = %error, "certificate renewal refused");
        })?;
        let order = Order {
            project_id,
            desktop_id,
            token_id: None,
            action: RENEW,
            credential: &format!("certificate:{serial}"),
            source: asked.source,
        };
        self.sign(tx, &issuer, &order, &request, now).await
    }

    /// Signs and stores a certificate, writes its audit entry, and commits.
    async fn sign(
        &self,
        mut tx: Tx,
        issuer: &Issuer,
        order: &Order<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let &Order { project_id, desktop_id, token_id, action, credential, source } = order;
        let life = self.enrolment()?.life;
        let identity = Identity::desktop(project_id.as_str(), desktop_id.as_str())
            .map_err(|error| Error::unreadable(error.to_string()))?;
        let issued = issuer
            .sign(&identity, request, now.timestamp(), (now + life).timestamp())
            .map_err(|reason| Error::new(Reason::IssuerUnavailable, reason))?;
        let not_after = Timestamp::from_timestamp(issued.not_after_unix, 0).unwrap_or(now);
        if not_after + TimeDelta::seconds(1) < now + life {
            tracing::warn!(
                %not_after,
                "certificate lifetime cut at the issuer's expiry: renew it with `graywave ca issuer`"
            );
        }
        let new = NewCertificate {
            project_id,
            desktop_id,
            serial: &issued.serial,
            public_key_sha256: &public_key(request),
            chain: &issued.chain,
            token_id,
            issued_at: now,
            not_after,
        };
        stored::insert_certificate(&mut tx, &new, now - REVOCATION_RETENTION).await?;
        let entry = NewEntry {
            audit_id: id_at(now),
            project_id: Some(project_id),
            at: now,
            principal: ENROLMENT,
            credential,
            action,
            resource: &format!("desktop:{desktop_id} certificate:{}", issued.serial),
            result: "DONE",
            reason: "",
            source,
            request_id: "",
            details: NO_DETAILS,
        };
        audit::insert(&mut tx, &entry).await?;
        self.store.commit(tx).await?;
        metric::CERTIFICATES_ISSUED.increment(1, &[]);
        tracing::info!(
            %project_id, %desktop_id, serial = issued.serial, %not_after, action,
            "certificate issued"
        );
        Ok(issued.chain)
    }
}

fn public_key(request: &Request) -> [u8; 32] {
    Sha256::digest(request.public_key()).into()
}

/// UUIDv7 of a moment: the monthly partitions of the audit and its seals are ranges of ids.
pub(crate) fn id_at(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}
