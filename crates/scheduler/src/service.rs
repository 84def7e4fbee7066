//! The gRPC adapter of the scheduler.

use std::{pin::Pin, time::Duration};

use domain::{
    desktop::DesktopFacts,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
    limits,
};
use engine::ScriptResult;
use futures::{Stream, stream};
use mtls::Signer;
use proto::{
    scheduler::{
        DeregisterRequest, DeregisterResponse, DesktopKey, EnrolRequest, EnrolResponse, HeartbeatRequest,
        HeartbeatResponse, Lease, PullRequest, PullResponse, Refused, RenewCertificateRequest,
        RenewCertificateResponse, RenewRequest, RenewResponse, ReportRequest, ReportResponse,
        RevokedConnection, TargetStop, UpdatePresenceRequest, UpdatePresenceResponse, WatchStopsRequest,
        WatchStopsResponse,
        scheduler_service_server::{SchedulerService, SchedulerServiceServer},
    },
    types::{Desktop, IssuedCertificate},
    unix_ms_in_range,
};
use store::{batch::LeaseKey, target_stop::Stop};
use telemetry::metric;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::{
    Scheduler, Wakes, answer,
    caller::called,
    enrolment::AskedBy,
    orders, presence,
    rollout::{Leased, ReturnedTarget, TargetReport},
};

/// The longest that a pull waits.
const MAX_PULL_WAIT: Duration = Duration::from_secs(30);
/// A certificate is made within this time.
const ISSUED_WITHIN: Duration = Duration::from_secs(8);
/// A waiting pull, or a stream of stops, looks again this often, in case a notification or a message was lost.
const LOOKS_AGAIN: Duration = Duration::from_secs(1);

/// The service over a scheduler; with a signer, what it hands out is signed. At `stop`, waiting pulls are answered, so that the server can end.
pub fn service(
    scheduler: Scheduler,
    wakes: Wakes,
    signer: Option<Signer>,
    stop: CancellationToken,
) -> SchedulerServiceServer<impl SchedulerService> {
    SchedulerServiceServer::new(Service { scheduler, wakes, signer, stop })
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}

#[derive(Debug)]
struct Service {
    scheduler: Scheduler,
    wakes: Wakes,
    signer: Option<Signer>,
    stop: CancellationToken,
}

impl Service {
    /// The leased batches as they are handed out.
    fn hand_out(&self, leased: &[Leased], revoked: Vec<RevokedConnection>) -> Result<PullResponse, Status> {
        let lease_ms = self.scheduler.config().lease_ms;
        let mut answer = answer::pull_response(leased, lease_ms, revoked);
        if let Some(signer) = &self.signer {
            orders::sign(&mut answer, signer).map_err(Status::unavailable)?;
        }
        Ok(answer)
    }

    /// The database's answer. A pull may wait for long, and so would a call to a database that is gone.
    async fn done<T>(&self, work: impl Future<Output = Result<T, store::Error>>) -> Result<T, Status> {
        self.scheduler.store().unless_silent(work).await.map_err(failed)
    }

    /// The connections that a worker must end.
    async fn to_end(&self, worker_id: &WorkerId) -> Result<Vec<RevokedConnection>, Status> {
        let found = self.done(self.scheduler.to_end(worker_id)).await?;
        Ok(found
            .into_iter()
            .map(|revoked| RevokedConnection {
                desktop: Some(desktop_key(&revoked.project_id, &revoked.desktop_id)),
                serial: revoked.serial,
            })
            .collect())
    }

    /// A certificate, or why there is none.
    async fn issued(
        &self,
        work: impl Future<Output = Result<Vec<Vec<u8>>, domain::Error>>,
    ) -> Result<Option<IssuedCertificate>, Status> {
        let issued = tokio::time::timeout(ISSUED_WITHIN, work).await;
        let chain =
            issued.map_err(|_| Status::unavailable("the database does not answer; try again later"))?;
        Ok(Some(IssuedCertificate { chain: chain.map_err(refused)? }))
    }
}

fn desktop_key(project_id: &ProjectId, desktop_id: &DesktopId) -> DesktopKey {
    DesktopKey { project_id: project_id.to_string(), desktop_id: desktop_id.to_string() }
}

/// What is said to whoever gets no certificate; the cause goes to the log.
fn refused(error: domain::Error) -> Status {
    if let Some(cause) = &error.source {
        let cause: &dyn std::error::Error = &**cause;
        tracing::error!(error = cause, "a certificate could not be issued");
    }
    Status::new(proto::code(error.reason), error.to_string())
}

/// The one place that turns a failure of the database into a status; the cause goes to the log.
fn failed(error: store::Error) -> Status {
    let code = if error.is_unavailable() { Code::Unavailable } else { Code::Internal };
    tracing::warn!(error = &error as &dyn std::error::Error, "a worker's call failed");
    Status::new(code, error.to_string())
}

fn invalid(error: domain::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn too_many(what: &str, limit: usize) -> Status {
    Status::invalid_argument(format!("more than {limit} {what} in one call"))
}

#[tonic::async_trait]
impl SchedulerService for Service {
    type WatchStopsStream = Pin<Box<dyn Stream<Item = Result<WatchStopsResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let (caller, HeartbeatRequest { worker_id, address, capacity, draining }) = called(request);
        let worker_id = caller.is(&worker_id)?;
        if capacity == 0 || capacity > limits::MAX_WORKER_CAPACITY {
            return Err(Status::invalid_argument(format!("capacity: 1 to {}", limits::MAX_WORKER_CAPACITY)));
        }
        let beat = self.scheduler.heartbeat(&worker_id, &address, capacity, draining, self.scheduler.now());
        let heard = self.done(beat).await?;
        Ok(Response::new(HeartbeatResponse {
            interval_ms: self.scheduler.config().heartbeat_ms,
            resync: heard.is_new,
            drain: heard.drain,
            time: self.scheduler.time(),
            revoked: self.to_end(&worker_id).await?,
        }))
    }

    async fn update_presence(
        &self,
        request: Request<UpdatePresenceRequest>,
    ) -> Result<Response<UpdatePresenceResponse>, Status> {
        let (caller, UpdatePresenceRequest { worker_id, connected, disconnected }) = called(request);
        if connected.len() + disconnected.len() > limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE {
            return Err(too_many("desktops", limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE));
        }
        let worker_id = caller.is(&worker_id)?;
        let mut answer = UpdatePresenceResponse::default();
        let connected = well_formed(connected, &mut answer);
        let disconnected = disconnected
            .into_iter()
            .map(|key| {
                Ok((
                    key.project_id.parse::<ProjectId>().map_err(invalid)?,
                    key.desktop_id.parse::<DesktopId>().map_err(invalid)?,
                ))
            })
            .collect::<Result<Vec<_>, Status>>()?;
        let told = self.scheduler.presence(&worker_id, &connected, &disconnected, self.scheduler.now());
        let refused = self
            .done(told)
            .await?
            .ok_or_else(|| Status::failed_precondition("this worker is not known: send a heartbeat first"))?;
        for one in refused {
            match one {
                presence::Refused::Elsewhere(project_id, desktop_id) => {
                    answer.refused.push(desktop_key(&project_id, &desktop_id));
                }
                presence::Refused::Revoked(project_id, desktop_id) => {
                    answer.revoked.push(desktop_key(&project_id, &desktop_id));
                }
                presence::Refused::Retired(project_id, desktop_id) => {
                    let key = desktop_key(&project_id, &desktop_id);
                    answer.retired.push(key.clone());
                    // What a worker does that does not know the other.
                    answer.revoked.push(key);
                }
            }
        }
        Ok(Response::new(answer))
    }

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        let (caller, PullRequest { worker_id, capacity, wait_ms }) = called(request);
        let worker_id = caller.is(&worker_id)?;
        let wait = Duration::from_millis(u64::from(wait_ms)).min(MAX_PULL_WAIT);
        let deadline = tokio::time::Instant::now() + wait;
        // Before anything is leased: what cannot be signed stays where it is, for a scheduler that can.
        self.signer.as_ref().map_or(Ok(()), Signer::check).map_err(Status::unavailable)?;
        let mut bell = self.wakes.ready.subscribe();
        loop {
            bell.mark_unchanged();
            let leased = self.done(self.scheduler.lease(&worker_id, capacity, self.scheduler.now())).await?;
            let is_over = tokio::time::Instant::now() >= deadline || self.stop.is_cancelled();
            if !leased.is_empty() || is_over {
                let targets: usize = leased.iter().map(|leased| leased.batch.members.len()).sum();
                metric::TARGETS_LEASED.count(targets as u64, &[]);
                // After the lease: what was revoked before is ended before any of it is handed out.
                let revoked = if leased.is_empty() { Vec::new() } else { self.to_end(&worker_id).await? };
                return Ok(Response::new(self.hand_out(&leased, revoked)?));
            }
            let look_again = deadline.min(tokio::time::Instant::now() + LOOKS_AGAIN);
            // Whatever ends the wait: look again.
            tokio::select! {
                _ = tokio::time::timeout_at(look_again, bell.changed()) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let (caller, ReportRequest { worker_id, results, returned }) = called(request);
        if results.len() + returned.len() > limits::MAX_RESULTS_PER_REPORT {
            return Err(too_many("results", limits::MAX_RESULTS_PER_REPORT));
        }
        let worker_id = caller.is(&worker_id)?;
        // One malformed entry must not keep the others from being stored.
        let mut refused = Vec::new();
        let mut reports = Vec::with_capacity(results.len());
        for result in results {
            let (task_id, ordinal) = (result.task_id.clone(), result.ordinal);
            match target_report(result) {
                Ok(report) => reports.push(report),
                Err(error) => refused.push(Refused { task_id, ordinal, reason: error.to_string() }),
            }
        }
        let mut returns = Vec::with_capacity(returned.len());
        for target in returned {
            let (task_id, ordinal) = (target.task_id.clone(), target.ordinal);
            match returned_target(target) {
                Ok(target) => returns.push(target),
                Err(error) => refused.push(Refused { task_id, ordinal, reason: error.to_string() }),
            }
        }
        let answer =
            self.done(self.scheduler.report(&worker_id, reports, returns, self.scheduler.now())).await?;
        refused.extend(answer.refused.into_iter().map(|(task_id, ordinal, reason)| Refused {
            task_id: task_id.to_string(),
            ordinal,
            reason,
        }));
        for refused in &refused {
            tracing::warn!(%worker_id, task_id = refused.task_id, ordinal = refused.ordinal, reason = refused.reason, "result refused");
        }
        Ok(Response::new(ReportResponse {
            stored: answer.stored,
            refused,
            failed_task_ids: answer.failed.iter().map(TaskId::to_string).collect(),
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (caller, RenewRequest { worker_id, leases }) = called(request);
        if leases.len() > limits::MAX_LEASES_PER_RENEWAL {
            return Err(too_many("leases", limits::MAX_LEASES_PER_RENEWAL));
        }
        let worker_id = caller.is(&worker_id)?;
        let leases = leases
            .into_iter()
            .map(|lease| {
                Ok(LeaseKey {
                    task_id: lease.task_id.parse().map_err(invalid)?,
                    batch_id: lease.batch_id.parse().map_err(invalid)?,
                    epoch: lease.epoch,
                })
            })
            .collect::<Result<Vec<_>, Status>>()?;
        let lost = self.done(self.scheduler.renew(&worker_id, &leases, self.scheduler.now())).await?;
        let lost = lost
            .into_iter()
            .map(|lease| Lease {
                task_id: lease.task_id.to_string(),
                batch_id: lease.batch_id.to_string(),
                epoch: lease.epoch,
            })
            .collect();
        Ok(Response::new(RenewResponse { lost, lease_ms: self.scheduler.config().lease_ms }))
    }

    async fn watch_stops(
        &self,
        request: Request<WatchStopsRequest>,
    ) -> Result<Response<Self::WatchStopsStream>, Status> {
        let (caller, message) = called(request);
        let worker_id = caller.is(&message.worker_id)?;
        let watch = Watch {
            scheduler: self.scheduler.clone(),
            worker_id,
            bell: self.wakes.stop.subscribe(),
            stop: self.stop.clone(),
        };
        Ok(Response::new(Box::pin(stream::unfold(Some(watch), next_stops))))
    }

    async fn deregister(
        &self,
        request: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        let (caller, message) = called(request);
        let worker_id = caller.is(&message.worker_id)?;
        self.done(self.scheduler.forget_worker(&worker_id, None, self.scheduler.now())).await?;
        Ok(Response::new(DeregisterResponse {}))
    }

    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let (caller, asked) = called(request);
        caller.is(&asked.worker_id)?;
        let desktop_id: DesktopId = asked.desktop_id.parse().map_err(invalid)?;
        let by = AskedBy { request: &asked.certificate_request, source: &asked.source };
        let work = self.scheduler.enrol(&asked.token, &desktop_id, by, self.scheduler.now());
        Ok(Response::new(EnrolResponse { certificate: self.issued(Box::pin(work)).await? }))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let (caller, asked) = called(request);
        caller.is(&asked.worker_id)?;
        let DesktopKey { project_id, desktop_id } = asked.desktop.unwrap_or_default();
        let project_id: ProjectId = project_id.parse().map_err(invalid)?;
        let desktop_id: DesktopId = desktop_id.parse().map_err(invalid)?;
        let by = AskedBy { request: &asked.certificate_request, source: &asked.source };
        let now = self.scheduler.now();
        let work = self.scheduler.renew_certificate(&project_id, &desktop_id, &asked.serial, by, now);
        Ok(Response::new(RenewCertificateResponse { certificate: self.issued(Box::pin(work)).await? }))
    }
}

/// A worker's stream of stops.
struct Watch {
    scheduler: Scheduler,
    worker_id: WorkerId,
    bell: watch::Receiver<()>,
    stop: CancellationToken,
}

/// The next message of a stream of stops: what is to be stopped now. The same is told again every second, so that
/// nothing depends on one message; nothing is said while there is nothing.
async fn next_stops(watch: Option<Watch>) -> Option<(Result<WatchStopsResponse, Status>, Option<Watch>)> {
    let mut watch = watch?;
    loop {
        // Whatever ends the wait: look.
        tokio::select! {
            _ = tokio::time::timeout(LOOKS_AGAIN, watch.bell.changed()) => {}
            () = watch.stop.cancelled() => return None,
        }
        match watch.scheduler.store().unless_silent(watch.scheduler.stops(&watch.worker_id)).await {
            Ok(stops) if stops.is_empty() => {}
            Ok(stops) => {
                let stops = stops.iter().map(target_stop).collect();
                return Some((Ok(WatchStopsResponse { stops }), Some(watch)));
            }
            // The worker asks again, maybe another scheduler.
            Err(error) => return Some((Err(failed(error)), None)),
        }
    }
}

fn target_stop(stop: &Stop) -> TargetStop {
    TargetStop {
        task_id: stop.task_id.to_string(),
        ordinal: stop.ordinal,
        attempt: u32::from(stop.attempt),
        script: u32::from(stop.script),
    }
}

/// The desktops that are described well; the others are refused in `answer`, one by one.
fn well_formed(connected: Vec<Desktop>, answer: &mut UpdatePresenceResponse) -> Vec<DesktopFacts> {
    let mut facts = Vec::with_capacity(connected.len());
    for desktop in connected {
        let key =
            DesktopKey { project_id: desktop.project_id.clone(), desktop_id: desktop.desktop_id.clone() };
        match desktop.facts() {
            Ok(desktop) => facts.push(desktop),
            Err(error) => {
                let DesktopKey { project_id, desktop_id } = &key;
                tracing::warn!(project_id, desktop_id, reason = %error, "desktop refused: malformed");
                answer.refused.push(key);
            }
        }
    }
    facts
}

fn returned_target(target: proto::scheduler::ReturnedTarget) -> Result<ReturnedTarget, domain::Error> {
    Ok(ReturnedTarget {
        task_id: target.task_id.parse()?,
        batch_id: target.batch_id.parse()?,
        ordinal: target.ordinal,
        handed: target.handed,
    })
}

fn target_report(result: proto::scheduler::TargetResult) -> Result<TargetReport, domain::Error> {
    let batch_id = match result.batch_id.as_str() {
        "" => None,
        text => Some(text.parse::<BatchId>()?),
    };
    Ok(TargetReport {
        task_id: result.task_id.parse::<TaskId>()?,
        ordinal: result.ordinal,
        attempt: result.attempt,
        batch_id,
        project_id: result.project_id.parse()?,
        desktop_id: result.desktop_id.parse()?,
        agent_id: result.agent_id,
        scripts: result.scripts.into_iter().zip(0u32..).map(script_report).collect::<Result<_, _>>()?,
        trace_context: Some(result.trace_context).filter(|carried| !carried.is_empty()),
    })
}

fn script_report((script, place): (proto::types::ScriptResult, u32)) -> Result<ScriptResult, domain::Error> {
    if script.script != place {
        return Err(domain::Error::unreadable(format!("result {place} is of script {}", script.script)));
    }
    Ok(ScriptResult {
        outcome: script.outcome.parse()?,
        exit_code: script.exit_code,
        started_at: unix_ms_in_range("started_at_unix_ms", script.started_at_unix_ms)?,
        ended_at: unix_ms_in_range("ended_at_unix_ms", script.ended_at_unix_ms)?,
        output: storable(script.output, limits::MAX_OUTPUT_BYTES),
        reason: storable(script.reason, limits::MAX_REASON_BYTES),
    })
}

/// Text that fits its column, whatever an agent sent.
fn storable(text: String, max_bytes: usize) -> String {
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    if text.len() > max_bytes {
        let end = (0..=max_bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        text.truncate(end);
    }
    text
}
