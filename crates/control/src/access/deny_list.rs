//! The deny-list of certificates, which the cluster's administrators maintain.

use domain::{
    Error, Reason, Timestamp,
    deny_list::{self, MARGIN, UNKNOWN_EXPIRY},
    limits::MAX_CHANGE_REASON_CHARS,
};
use store::{
    Tx,
    deny_list::{self as stored, DeniedCertificate},
    notify::{self, Wake},
};

use super::outsider::Operator;
use crate::Control;

/// Certificate to deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDenial {
    /// Serial number in hex, in any notation.
    pub serial: String,
    /// Identity in the certificate; empty if unknown.
    pub identity: String,
    /// Expiry of the certificate; `None` if unknown.
    pub expires_at: Option<Timestamp>,
    /// Why the certificate is denied, for people.
    pub reason: String,
}

fn serial_of(text: &str) -> Result<String, Error> {
    let wrong = || {
        let message = "the serial number must be 1 to 40 hex digits, with or without colons";
        Error::invalid("serial", message)
    };
    mtls::canonical_serial(text).ok_or_else(wrong)
}

fn check_text(field: &'static str, text: &str) -> Result<(), Error> {
    if text.chars().count() <= MAX_CHANGE_REASON_CHARS && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let message =
        format!("it must have at most {MAX_CHANGE_REASON_CHARS} characters and no control characters");
    Err(Error::invalid(field, message))
}

impl Control {
    /// Denies a certificate on behalf of an operator: every process refuses its connections and
    /// signatures from the next look at the list on.
    ///
    /// # Errors
    ///
    /// When the list is full, or the certificate has expired or is denied already.
    pub async fn deny_certificate_by(
        &self,
        operator: &Operator,
        new: NewDenial,
    ) -> Result<DeniedCertificate, Error> {
        let now = self.environment.now();
        let NewDenial { serial, identity, expires_at, reason } = new;
        let serial = serial_of(&serial)?;
        check_text("identity", &identity)?;
        check_text("reason", &reason)?;
        let expires_at = expires_at.unwrap_or(now + UNKNOWN_EXPIRY);
        deny_list::check_expiry(expires_at, now)?;
        let mut tx = self.store.begin().await?;
        let version = stored::hold(&mut tx).await?;
        deny_list::check_room(stored::purge(&mut tx, now - MARGIN).await?)?;
        let denied_by = operator.certificate.clone();
        let denied = DeniedCertificate { serial, identity, reason, denied_by, denied_at: now, expires_at };
        if !stored::insert(&mut tx, &denied).await? {
            let message = format!("certificate {} is denied already", denied.serial);
            return Err(Error::new(Reason::AlreadyExists, message));
        }
        let action = "graywave:certificates:deny";
        self.changed(tx, operator, version, action, &denied.serial).await?;
        tracing::warn!(
            serial = denied.serial,
            identity = denied.identity,
            denied_by = denied.denied_by,
            "certificate denied"
        );
        Ok(denied)
    }

    /// Removes a certificate from the deny-list on behalf of an operator.
    ///
    /// # Errors
    ///
    /// When the certificate is not denied.
    pub async fn allow_certificate_by(&self, operator: &Operator, serial: &str) -> Result<(), Error> {
        let serial = serial_of(serial)?;
        let mut tx = self.store.begin().await?;
        let version = stored::hold(&mut tx).await?;
        if !stored::remove(&mut tx, &serial).await? {
            let message = format!("certificate {serial} is not denied");
            return Err(Error::new(Reason::CredentialNotFound, message));
        }
        self.changed(tx, operator, version, "graywave:certificates:allow", &serial).await?;
        tracing::warn!(serial, allowed_by = operator.certificate, "certificate no longer denied");
        Ok(())
    }

    /// Lists at most `limit` denied certificates by serial number, starting after `after`.
    pub async fn list_denied_certificates(
        &self,
        _: &Operator,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<DeniedCertificate>, Error> {
        Ok(stored::list(&mut *self.store.acquire().await?, after.unwrap_or_default(), limit).await?)
    }

    /// Commits a change of the list under its next version, and wakes the schedulers.
    async fn changed(
        &self,
        mut tx: Tx,
        operator: &Operator,
        version: i64,
        action: &str,
        serial: &str,
    ) -> Result<(), Error> {
        stored::set_version(&mut tx, deny_list::next_version(version, self.environment.now())).await?;
        notify::send(&mut tx, Wake::DenyList).await?;
        let resource = format!("certificate:{serial}");
        self.done_in_cluster(tx, operator, action, &resource).await
    }
}
