//! Enrolment and renewal of desktop certificates, forwarded to a scheduler. This side only limits
//! the rate of unauthenticated calls.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use domain::limits::MAX_ENROLMENT_BYTES;
use governor::{DefaultKeyedRateLimiter, Quota};
use mtls::{Certified, Identity};
use proto::{
    agent::{
        EnrolRequest, EnrolResponse, RenewRequest, RenewResponse,
        enrolment_service_server::{EnrolmentService, EnrolmentServiceServer},
    },
    scheduler::{self as asked, DesktopKey},
};
use server::Who;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::{
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Maximum number of concurrent calls from all addresses.
const AT_ONCE: usize = 32;
/// Rate limit of one address: calls per second, and the burst. Many machines may share one address.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Number of tracked addresses above which idle ones are removed.
const MAX_ADDRESSES: usize = 10_000;

pub(crate) fn service(worker: Arc<Worker>, client: Client) -> EnrolmentServiceServer<impl EnrolmentService> {
    let rates = DefaultKeyedRateLimiter::keyed(Quota::per_second(PER_SECOND).allow_burst(BURST));
    EnrolmentServiceServer::new(Door {
        worker,
        client: Mutex::new(client),
        rates,
        room: Semaphore::new(AT_ONCE),
    })
    .max_decoding_message_size(MAX_ENROLMENT_BYTES)
}

struct Door {
    worker: Arc<Worker>,
    /// A client is `Send` but not `Sync`.
    client: Mutex<Client>,
    rates: DefaultKeyedRateLimiter<IpAddr>,
    room: Semaphore,
}

impl Door {
    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Admits a call within the limits; returns its permit and its source address.
    fn enter<T>(&self, request: &Request<T>) -> Result<(tokio::sync::SemaphorePermit<'_>, String), Status> {
        let who = request.extensions().get::<Who>();
        if !matches!(who, Some(Who::Anonymous | Who::Known(_))) {
            let reason = "this worker has no TLS: certificates cannot be used here";
            return Err(Status::failed_precondition(reason));
        }
        self.worker.admission.check().map_err(|reason| {
            Status::unavailable(format!("this worker takes no agents yet: use another one ({reason})"))
        })?;
        let address =
            request.remote_addr().ok_or_else(|| Status::internal("the caller's address is unknown"))?;
        if self.rates.len() > MAX_ADDRESSES {
            self.rates.retain_recent();
        }
        let too_often = || Status::resource_exhausted("too many enrolment calls: try again later");
        self.rates.check_key(&network(address.ip())).map_err(|_| too_often())?;
        let permit = self.room.try_acquire().map_err(|_| too_often())?;
        Ok((permit, address.to_string()))
    }
}

/// Key of the rate limit: an IPv4 address, or the /64 network of an IPv6 address, since a host has
/// a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[tonic::async_trait]
impl EnrolmentService for Door {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let (_permit, source) = self.enter(&request)?;
        let EnrolRequest { token_id, certificate_request, desktop_id, signature } = request.into_inner();
        let worker_id = self.worker.worker_id.clone();
        let question = asked::EnrolRequest {
            worker_id,
            token_id,
            certificate_request,
            desktop_id,
            source: source.clone(),
            signature,
        };
        let answer = self.client().enrol(with_deadline(question, CALL_TIMEOUT)).await;
        let answer = answer.map_err(|status| refused(&status, &source))?.into_inner();
        Ok(Response::new(EnrolResponse { certificate: answer.certificate }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (_permit, source) = self.enter(&request)?;
        let Some(Certified { identity: Identity::Desktop { project_id, desktop_id }, serial, .. }) =
            request.extensions().get::<Certified>().cloned()
        else {
            return Err(Status::permission_denied("a renewal requires a desktop's certificate"));
        };
        let RenewRequest { certificate_request, signature } = request.into_inner();
        let question = asked::RenewCertificateRequest {
            worker_id: self.worker.worker_id.clone(),
            desktop: Some(DesktopKey { project_id, desktop_id }),
            serial,
            certificate_request,
            source: source.clone(),
            signature,
        };
        let answer = self.client().renew_certificate(with_deadline(question, CALL_TIMEOUT)).await;
        let answer = answer.map_err(|status| refused(&status, &source))?.into_inner();
        Ok(Response::new(RenewResponse { certificate: answer.certificate }))
    }
}

/// Converts the scheduler's refusal for the caller: code and message only.
fn refused(status: &Status, peer: &str) -> Status {
    tracing::warn!(%peer, %status, "certificate refused");
    Status::new(status.code(), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_count_together() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("10.0.0.1"), "10.0.0.1");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::9"), "2001:db8:1:2::");
    }
}
