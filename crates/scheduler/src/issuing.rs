//! Issuer of the certificates of desktops.

use chrono::TimeDelta;
use domain::{Error, Reason, Timestamp};
use mtls::{Issuer, IssuerFiles, Tls};

/// Issuer files and the lifetime of the certificates that they sign.
#[derive(Debug)]
pub struct Enrolment {
    files: IssuerFiles,
    tls: Tls,
    pub(crate) life: TimeDelta,
}

impl Enrolment {
    /// Creates an issuer of certificates with the lifetime `life`. Its files are read again at each
    /// signature, so replaced files take effect; they are also checked here.
    ///
    /// # Errors
    ///
    /// When a file is missing or invalid.
    pub fn new(files: IssuerFiles, tls: Tls, life: TimeDelta) -> Result<Self, mtls::Error> {
        let issuer = Issuer::load(&files, &tls)?;
        if let Some(ends_at) = Timestamp::from_timestamp(issuer.not_after_unix, 0) {
            tracing::info!(%ends_at, "issuer of desktop certificates loaded");
        }
        Ok(Self { files, tls, life })
    }

    /// Whether a certificate is on the deny-list.
    pub(crate) fn is_denied(&self, serial: &str) -> bool {
        self.tls.deny_list().contains(serial)
    }

    pub(crate) async fn issuer(&self) -> Result<Issuer, Error> {
        let (files, tls) = (self.files.clone(), self.tls.clone());
        let loaded = tokio::task::spawn_blocking(move || Issuer::load(&files, &tls)).await;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error, "loading the issuer of desktop certificates failed");
            Error::new(
                Reason::IssuerUnavailable,
                "certificates cannot be issued now; see the scheduler's log for the cause",
            )
        };
        loaded.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}
