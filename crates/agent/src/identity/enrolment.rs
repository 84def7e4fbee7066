//! The agent's own certificate: requested with a token, stored in the data directory, renewed in
//! time. The key is generated here and never leaves the machine.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mtls::{Anonymous, Dialling, EnrolmentToken, Facts, NewKey, ProxySettings, Role, Tls};
use proto::{
    agent::{EnrolRequest, RenewRequest, enrolment_service_client::EnrolmentServiceClient},
    certificate_signing,
    types::IssuedCertificate,
};
use time_sync::{Backoff, Clock};
use tokio::{sync::Notify, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::credential_file::Kept;
use crate::{
    Config, Error,
    blocking::blocking,
    config::{Enrolment, Token},
    error::whole_chain,
};

/// Time limit of a certificate request.
const ASKED_WITHIN: Duration = Duration::from_secs(20);
/// Interval at which waits read the clock again, because clocks are adjusted.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pauses between renewal attempts.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// Enrolment of this agent, and its stored identity.
#[derive(Debug)]
pub(crate) struct Enrolled {
    kept: Kept,
    enrolment: Enrolment,
    proxies: ProxySettings,
    /// Desktop id that the agent proposes.
    proposed: String,
    pauses: (Duration, Duration),
    /// Last refused token: it is not sent again for a revoked desktop.
    refused: Mutex<Option<String>>,
}

impl Enrolled {
    pub(crate) fn new(config: &Config, enrolment: Enrolment) -> Result<Self, Error> {
        let proposed = match config.desktop.desktop_id.as_str() {
            "" => config.desktop.os_host_name.clone(),
            given => given.to_owned(),
        };
        let kept = Kept::open(&config.data_dir, &enrolment.ca_file)?;
        let pauses = (config.reconnect_min, config.reconnect_max);
        let proxies = config.proxies.clone();
        Ok(Self { kept, enrolment, proxies, proposed, pauses, refused: Mutex::default() })
    }

    /// Returns the stored certificate, or enrols until a worker issues one.
    ///
    /// # Errors
    ///
    /// When files are unusable, or there is neither a valid certificate nor a token.
    pub(crate) async fn certificate(&self, endpoints: &[Endpoint], clock: &Clock) -> Result<Tls, Error> {
        if let Some(tls) = self.kept.load()? {
            let ends = tls.facts().not_after_unix;
            if ends > clock.now().timestamp() {
                return Ok(tls);
            }
            tracing::error!(identity = %tls.identity(), "the certificate has expired; enrolling again");
        }
        if self.enrolment.token.is_none() {
            return Err(Error::Config(
                "no valid certificate and no enrolment token: create a token with `graywave enrolment-tokens create` \
                 and set --enrolment-token-file"
                    .into(),
            ));
        }
        let mut backoff = Backoff::spread(self.pauses.0, self.pauses.1);
        for endpoint in endpoints.iter().cycle() {
            match self.enrol(endpoint, &self.proposed).await {
                Ok(()) => break,
                Err(status) => {
                    let pause = backoff.pause_with_jitter(&mut rand::rng());
                    tracing::error!(
                        worker = %endpoint.uri(), status = ?status.code(), reason = status.message(), ?pause,
                        "enrolment failed; retrying"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
        let tls = self.kept.load()?.ok_or_else(|| Error::Config("the new certificate was removed".into()))?;
        tracing::info!(identity = %tls.identity(), "enrolled");
        Ok(tls)
    }

    fn token(&self) -> Result<String, Status> {
        let text = match &self.enrolment.token {
            Some(Token::Text(text)) => text.clone(),
            Some(Token::File(path)) => std::fs::read_to_string(path).map_err(|error| {
                Status::failed_precondition(format!(
                    "reading the token in {} failed: {error}",
                    path.display()
                ))
            })?,
            None => {
                return Err(Status::failed_precondition("no enrolment token: set --enrolment-token-file"));
            }
        };
        Ok(text.trim().to_owned())
    }

    /// Enrols at one worker, with the current token.
    async fn enrol(&self, endpoint: &Endpoint, desktop_id: &str) -> Result<(), Status> {
        let stranger = Anonymous::load(&self.enrolment.ca_file)
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        let token = self.token()?;
        let key = EnrolmentToken::read(&token).map_err(Status::unauthenticated)?;
        let request = |certificate_request: Vec<u8>| EnrolRequest {
            token_id: key.id().to_owned(),
            signature: key.sign(&certificate_signing::enrolment(key.id(), desktop_id, &certificate_request)),
            certificate_request,
            desktop_id: desktop_id.to_owned(),
        };
        let asked = self.ask(endpoint, stranger.into(), async |mut client, bytes| {
            Ok(client.enrol(request(bytes)).await?.into_inner().certificate)
        });
        let answer = asked.await;
        if answer.as_ref().is_err_and(is_for_good) {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        }
        answer
    }

    /// Requests the next certificate from one worker.
    async fn renew(&self, endpoint: &Endpoint, tls: &Tls) -> Result<(), Status> {
        let mtls::Identity::Desktop { project_id, desktop_id } = tls.identity() else {
            return Err(Status::failed_precondition("the certificate is not a desktop's"));
        };
        self.ask(endpoint, tls.clone().into(), async |mut client, certificate_request| {
            let message = |current: &Facts| {
                certificate_signing::renewal(project_id, desktop_id, &current.serial, &certificate_request)
            };
            let signature = tls.sign(message).map_err(Status::internal)?;
            let request = RenewRequest { certificate_request, signature };
            Ok(client.renew(request).await?.into_inner().certificate)
        })
        .await
    }

    /// Requests a certificate for the pending key, and stores it.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        who: Dialling,
        call: impl AsyncFnOnce(
            EnrolmentServiceClient<Channel>,
            Vec<u8>,
        ) -> Result<Option<IssuedCertificate>, Status>,
    ) -> Result<(), Status> {
        let kept = self.kept.clone();
        let failed = |reason: String| Status::internal(reason);
        let key: NewKey = blocking(move || kept.pending()).await.map_err(failed)?;
        let request = key.request().map_err(failed)?;
        let asked = async {
            let connector = mtls::connector_through(who, Role::Worker, self.proxies.clone());
            let dialled = endpoint.connect_with_connector(connector).await;
            let channel = dialled.map_err(|error| Status::unavailable(whole_chain(&error)))?;
            call(EnrolmentServiceClient::new(channel), request).await
        };
        let issued = timeout(ASKED_WITHIN, asked)
            .await
            .map_err(|_| Status::deadline_exceeded("the certificate request timed out"))??
            .ok_or_else(|| Status::internal("the response contains no certificate"))?;
        let kept = self.kept.clone();
        blocking(move || kept.put(&key, &issued.chain)).await.map_err(failed)
    }
}

/// Whether a retry of the same request is futile.
fn is_for_good(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument
    )
}

/// Keeps the certificate valid while the agent runs.
#[derive(Debug)]
pub(crate) struct Renewal {
    enrolled: Enrolled,
    tls: Tls,
    renewed: Notify,
}

impl Renewal {
    pub(crate) fn new(enrolled: Enrolled, tls: Tls) -> Self {
        Self { enrolled, tls, renewed: Notify::new() }
    }

    /// Waits for a new certificate.
    pub(crate) async fn renewed(&self) {
        self.renewed.notified().await;
    }

    /// Renews the certificate whenever it is due.
    pub(crate) async fn run(&self, endpoints: &[Endpoint], clock: &Clock) -> Infallible {
        loop {
            let facts = self.tls.facts();
            let due = facts.renew_unix(rand::random());
            self.wait_until(due, clock).await;
            let mut turns = endpoints.iter().cycle();
            while self.tls.facts().serial == facts.serial {
                let Some(endpoint) = turns.next() else { continue };
                match self.enrolled.renew(endpoint, &self.tls).await {
                    Ok(()) => self.use_it().await,
                    Err(status) => {
                        let left = facts.not_after_unix - clock.now().timestamp();
                        log_renewal_failure(&status, left);
                        tokio::time::sleep(pause(left)).await;
                    }
                }
            }
        }
    }

    async fn wait_until(&self, due_unix: i64, clock: &Clock) {
        loop {
            let left = due_unix - clock.now().timestamp();
            let Ok(left) = u64::try_from(left) else { return };
            tokio::time::sleep(Duration::from_secs(left.max(1)).min(LOOK_EVERY)).await;
            if left == 0 {
                return;
            }
        }
    }

    /// Loads the new certificate from its file and signals it.
    async fn use_it(&self) {
        self.tls.look_now().await;
        self.renewed.notify_one();
    }

    /// Handles a refused connection. A desktop that is revoked, or whose certificate has expired,
    /// enrols again if it has a token that was not refused yet.
    pub(crate) async fn refused(&self, endpoint: &Endpoint, status: &Status, clock: &Clock) {
        let is_expired = self.tls.facts().not_after_unix <= clock.now().timestamp();
        if !is_expired && status.code() != Code::PermissionDenied {
            return;
        }
        let Ok(token) = self.enrolled.token() else {
            tracing::error!(
                "this desktop must be enrolled again: create a token with `graywave enrolment-tokens create`"
            );
            return;
        };
        let is_refused =
            self.enrolled.refused.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&token);
        if is_refused {
            tracing::error!(
                "this desktop must be enrolled again, and its token was refused: create a new token"
            );
            return;
        }
        let mtls::Identity::Desktop { desktop_id, .. } = self.tls.identity() else { return };
        match self.enrolled.enrol(endpoint, desktop_id).await {
            Ok(()) => {
                tracing::info!(identity = %self.tls.identity(), "enrolled again");
                self.tls.look_now().await;
            }
            Err(status) => {
                tracing::error!(status = ?status.code(), reason = status.message(), "enrolling again failed");
            }
        }
    }
}

fn log_renewal_failure(status: &Status, left_seconds: i64) {
    let (code, reason) = (status.code(), status.message());
    if left_seconds > 0 {
        tracing::warn!(status = ?code, reason, left_seconds, "certificate renewal failed; retrying");
    } else {
        tracing::error!(
            status = ?code, reason,
            "the certificate has expired: this desktop must be enrolled again"
        );
    }
}

/// Pause before the next renewal attempt: shorter towards the expiry, with jitter.
fn pause(left_seconds: i64) -> Duration {
    let tenth = Duration::from_secs(u64::try_from(left_seconds).unwrap_or(0) / 10);
    let after_the_end = if left_seconds > 0 { AGAIN_MIN } else { AGAIN_MAX };
    tenth.clamp(after_the_end, AGAIN_MAX).mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_tried_more_often_as_the_end_comes_near() {
        for _ in 0..100 {
            assert!(pause(864_000) <= AGAIN_MAX && pause(864_000) >= AGAIN_MAX / 2);
            assert!(pause(100) <= Duration::from_secs(10));
            assert!(pause(3) <= AGAIN_MIN && pause(3) >= AGAIN_MIN / 2);
            assert!(pause(-5) >= AGAIN_MAX / 2, "only an operator can help");
        }
    }
}
