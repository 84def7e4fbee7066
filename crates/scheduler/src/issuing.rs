//! The issuer of desktops' certificates.

use chrono::TimeDelta;
use domain::{Error, Reason, Timestamp};
use mtls::{Issuer, IssuerFiles, Tls};

/// What certificates are signed with, and for how long.
#[derive(Debug)]
pub struct Enrolment {
    files: IssuerFiles,
    tls: Tls,
    pub(crate) life: TimeDelta,
}

impl Enrolment {
    /// An issuer, for certificates that are good for so long. Its files are read at each signature, so that what is in them
    /// counts; here to see whether they are good.
    ///
    /// # Errors
    ///
    /// Files that cannot be used.
    pub fn new(files: IssuerFiles, tls: Tls, life: TimeDelta) -> Result<Self, mtls::Error> {
        let issuer = Issuer::load(&files, &tls)?;
        if let Some(ends_at) = Timestamp::from_timestamp(issuer.not_after_unix, 0) {
            tracing::info!(%ends_at, "desktops can be enrolled");
        }
        Ok(Self { files, tls, life })
    }

    pub(crate) async fn issuer(&self) -> Result<Issuer, Error> {
        let (files, tls) = (self.files.clone(), self.tls.clone());
        let loaded = tokio::task::spawn_blocking(move || Issuer::load(&files, &tls)).await;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error, "the issuer of desktops' certificates cannot be used");
            Error::new(
                Reason::IssuerUnavailable,
                "certificates cannot be issued now; the scheduler's log says why",
            )
        };
        loaded.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}
