//! The agent's own certificate: asked for with a token, kept in the data directory, renewed in time. Its key is made here and never
//! leaves the machine.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mtls::{Anonymous, Dialling, NewKey, Role, Tls};
use proto::{
    agent::{EnrolRequest, RenewRequest, enrolment_service_client::EnrolmentServiceClient},
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
    config::{Enrolment, Token},
    error::whole_chain,
    journal::blocking,
};

/// A certificate is there within this time, or is asked for again.
const ASKED_WITHIN: Duration = Duration::from_secs(20);
/// The time that is waited for is looked at so often: clocks are set.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pauses between tries to renew.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// How this agent enrols, and where it keeps what it gets.
#[derive(Debug)]
pub(crate) struct Enrolled {
    kept: Kept,
    enrolment: Enrolment,
    /// What the agent would like to be called.
    proposed: String,
    pauses: (Duration, Duration),
    /// The token that was refused last: the same is not shown again for a revoked desktop.
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
        Ok(Self { kept, enrolment, proposed, pauses, refused: Mutex::default() })
    }

    /// The certificate that is there, or one that is asked for until it is.
    ///
    /// # Errors
    ///
    /// Files that cannot be used, and nothing that could be asked with.
    pub(crate) async fn certificate(&self, endpoints: &[Endpoint], clock: &Clock) -> Result<Tls, Error> {
        if let Some(tls) = self.kept.load()? {
            let ends = tls.facts().not_after_unix;
            if ends > clock.now().timestamp() {
                return Ok(tls);
            }
            tracing::error!(identity = %tls.identity(), "the certificate has expired: the desktop is enrolled anew");
        }
        if self.enrolment.token.is_none() {
            return Err(Error::Config(
                "there is no certificate that is good, and no token to enrol with: `graywave enrolment-tokens create` makes \
                 one for --enrolment-token-file"
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
                        "not enrolled; trying again"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
        let tls = self.kept.load()?.ok_or_else(|| Error::Config("the certificate is gone again".into()))?;
        tracing::info!(identity = %tls.identity(), "enrolled");
        Ok(tls)
    }

    fn token(&self) -> Result<String, Status> {
        let text = match &self.enrolment.token {
            Some(Token::Text(text)) => text.clone(),
            Some(Token::File(path)) => std::fs::read_to_string(path).map_err(|error| {
                Status::failed_precondition(format!("cannot read the token in {}: {error}", path.display()))
            })?,
            None => return Err(Status::failed_precondition("there is no enrolment token")),
        };
        Ok(text.trim().to_owned())
    }

    /// Asks one worker, with the token as it is now.
    async fn enrol(&self, endpoint: &Endpoint, desktop_id: &str) -> Result<(), Status> {
        let stranger = Anonymous::load(&self.enrolment.ca_file)
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        let token = self.token()?;
        let request = |certificate_request| EnrolRequest {
            token: token.clone(),
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

    /// Asks one worker for the next certificate.
    async fn renew(&self, endpoint: &Endpoint, tls: &Tls) -> Result<(), Status> {
        self.ask(endpoint, tls.clone().into(), async |mut client, certificate_request| {
            Ok(client.renew(RenewRequest { certificate_request }).await?.into_inner().certificate)
        })
        .await
    }

    /// Asks for a certificate of the pending key, and keeps it.
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
            let dialled = endpoint.connect_with_connector(mtls::connector(who, Role::Worker)).await;
            let channel = dialled.map_err(|error| Status::unavailable(whole_chain(&error)))?;
            call(EnrolmentServiceClient::new(channel), request).await
        };
        let issued = timeout(ASKED_WITHIN, asked)
            .await
            .map_err(|_| Status::deadline_exceeded("no answer in time"))??
            .ok_or_else(|| Status::internal("the answer holds no certificate"))?;
        let kept = self.kept.clone();
        blocking(move || kept.put(&key, &issued.chain)).await.map_err(failed)
    }
}

/// Whether to ask the same again is in vain.
fn is_for_good(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument
    )
}

/// Keeps the certificate good for as long as the agent runs.
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
                        tell(&status, left);
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

    /// The new certificate is in its file.
    async fn use_it(&self) {
        self.tls.look_now().await;
        self.renewed.notify_one();
    }

    /// A worker has refused the connection. A desktop that is revoked, or whose certificate has expired, enrols anew where it
    /// has a token that was not refused yet.
    pub(crate) async fn refused(&self, endpoint: &Endpoint, status: &Status, clock: &Clock) {
        let is_expired = self.tls.facts().not_after_unix <= clock.now().timestamp();
        if !is_expired && status.code() != Code::PermissionDenied {
            return;
        }
        let Ok(token) = self.enrolled.token() else {
            tracing::error!(
                "this desktop must be enrolled anew: `graywave enrolment-tokens create` makes a token for it"
            );
            return;
        };
        let is_refused =
            self.enrolled.refused.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&token);
        if is_refused {
            tracing::error!(
                "this desktop must be enrolled anew, and its token is not good for that: make a new one"
            );
            return;
        }
        let mtls::Identity::Desktop { desktop_id, .. } = self.tls.identity() else { return };
        match self.enrolled.enrol(endpoint, desktop_id).await {
            Ok(()) => {
                tracing::info!(identity = %self.tls.identity(), "enrolled anew");
                self.tls.look_now().await;
            }
            Err(status) => {
                tracing::error!(status = ?status.code(), reason = status.message(), "not enrolled anew");
            }
        }
    }
}

fn tell(status: &Status, left_seconds: i64) {
    let (code, reason) = (status.code(), status.message());
    if left_seconds > 0 {
        tracing::warn!(status = ?code, reason, left_seconds, "the certificate could not be renewed; trying again");
    } else {
        tracing::error!(status = ?code, reason, "the certificate has expired: this desktop must be enrolled anew");
    }
}

/// More often as the end comes near, and never together with all others.
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
            assert!(pause(-5) >= AGAIN_MAX / 2, "nobody can help it but a person");
        }
    }
}
