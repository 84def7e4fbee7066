//! Agent gateway: one long stream for each desktop.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{limits, version::PROGRAM};
use futures::Stream;
use mtls::{Certified, Identity};
use proto::{
    agent::{
        AttachRequest, AttachResponse, ExecutionKey, OrderResult, OrderReturn, Started, StartedScript,
        Welcome,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request, attach_response,
    },
    scheduler::{DesktopKey, ReturnedTarget, StartedTarget, TargetResult},
    types::{Certificate, Desktop, ScriptResult, Time},
};
use telemetry::{metric, trace};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    live_output,
    outbox::{self, ToAgent, WeakToAgent},
    registry::{Connected, SessionId},
    report_queue::Item,
    state::Worker,
};

/// Time limit for the hello of a new connection.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

const LOOK_AT_TIME_EVERY: Duration = Duration::from_secs(60);

/// Time limit for the first answer of a scheduler after a start: it admits this worker and has the
/// time, which deadlines need.
const ADMITTED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn service(worker: Arc<Worker>) -> AgentServiceServer<impl AgentService> {
    AgentServiceServer::new(Gateway { worker })
        .max_decoding_message_size(limits::MAX_AGENT_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}

struct Gateway {
    worker: Arc<Worker>,
}

#[tonic::async_trait]
impl AgentService for Gateway {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if self.worker.is_draining() {
            return Err(Status::unavailable("this worker is draining: connect to another one"));
        }
        if self.worker.registry.len() >= self.worker.config.max_agents() {
            return Err(Status::resource_exhausted(
                "connection limit reached (worker.max_agents): connect to another worker",
            ));
        }
        let shown = request.extensions().get::<Certified>().cloned();
        let mut inbound = request.into_inner();
        let (to_agent, outbound) = outbox::channel(limits::MAX_ORDERS_PER_AGENT);
        // The agent sends nothing before the response headers, so its hello is read in the
        // background.
        let worker = Arc::clone(&self.worker);
        tokio::spawn(async move {
            let hello = match tokio::time::timeout(HELLO_WITHIN, hello(&mut inbound, shown.as_ref())).await {
                Ok(Ok(desktop)) => desktop,
                Ok(Err(status)) => return refuse(&to_agent, status),
                Err(_) => return refuse(&to_agent, Status::deadline_exceeded("hello timed out")),
            };
            serve(&worker, inbound, to_agent, hello).await;
        });
        Ok(Response::new(Box::pin(outbound)))
    }
}

fn refuse(to_agent: &ToAgent, status: Status) {
    tracing::warn!(%status, "agent refused");
    metric::AGENTS_REFUSED.increment(1, &[]);
    if to_agent.try_send(Err(status)).is_err() {
        tracing::debug!("the refused agent has already disconnected");
    }
}

/// Reads the first message: the desktop, which must match the certificate.
async fn hello(inbound: &mut Streaming<AttachRequest>, shown: Option<&Certified>) -> Result<Desktop, Status> {
    let first = inbound.message().await?.and_then(|request| request.message);
    let Some(attach_request::Message::Hello(hello)) = first else {
        return Err(Status::invalid_argument("the first message must be hello"));
    };
    let desktop = hello.desktop.ok_or_else(|| Status::invalid_argument("hello.desktop is missing"))?;
    if let Err(error) = desktop.clone().facts() {
        return Err(Status::invalid_argument(error.to_string()));
    }
    let desktop = match shown {
        Some(shown) => certified(&shown.identity, desktop)?,
        None => desktop,
    };
    // The certificate comes from the connection; the agent's own claim is dropped.
    Ok(Desktop { certificate: shown.map(certificate), ..desktop })
}

fn certificate(shown: &Certified) -> Certificate {
    Certificate {
        serial: shown.serial.clone(),
        not_before_unix_ms: shown.not_before_unix.saturating_mul(1_000),
        not_after_unix_ms: shown.not_after_unix.saturating_mul(1_000),
    }
}

/// Checks that the certificate names the claimed desktop.
fn certified(identity: &Identity, desktop: Desktop) -> Result<Desktop, Status> {
    let claimed = Identity::desktop(&desktop.project_id, &desktop.desktop_id)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if claimed != *identity {
        let reason = format!("the certificate names {identity}, but the agent claims {claimed}");
        return Err(Status::permission_denied(reason));
    }
    Ok(desktop)
}

/// Checks that the worker takes agents. Waits a little for a worker that has just started.
async fn check_worker(worker: &Worker) -> Result<(), Status> {
    worker.admission.granted_within(ADMITTED_WITHIN).await.map_err(|reason| {
        Status::unavailable(format!("this worker takes no agents yet: connect to another one ({reason})"))
    })?;
    let time = worker.knows_time_within(ADMITTED_WITHIN).await;
    time.ok_or_else(|| Status::unavailable("this worker cannot reach a scheduler: connect to another one"))?;
    Ok(())
}

/// Serves one connection until it ends.
async fn serve(worker: &Worker, mut inbound: Streaming<AttachRequest>, to_agent: ToAgent, desktop: Desktop) {
    let key = DesktopKey { project_id: desktop.project_id.clone(), desktop_id: desktop.desktop_id.clone() };
    if let Err(status) = check_worker(worker).await {
        return refuse(&to_agent, status);
    }
    if let Err(status) = worker.agent_versions.check(&desktop.agent_version, PROGRAM, Instant::now()) {
        return refuse(&to_agent, status);
    }
    let desktop = Desktop { connected_at_unix_ms: proto::unix_ms(Some(worker.clock.now())), ..desktop };
    if let Err(status) = worker.registry.check_claim(&key, &desktop) {
        return refuse(&to_agent, status);
    }
    let welcome = Welcome { worker_id: worker.worker_id.clone(), time: time(worker) };
    let welcome = attach_response::Message::Welcome(welcome);
    if !to_agent.send(Ok(AttachResponse { message: Some(welcome) })).await {
        return;
    }
    // The registry holds the only other sender: when it drops that, the stream ends and the agent
    // dials another worker.
    let weak = to_agent.downgrade();
    let Ok(connected) = worker.registry.connect(key.clone(), desktop.clone(), to_agent) else { return };
    let Connected { session, replaced, mut known } = connected;
    if let Some(older) = replaced {
        give_back(worker, older).await;
    }
    let list = worker.deny_lists.for_agents();
    if !worker.registry.show_deny_list(&key, session, list.as_ref()) {
        tracing::debug!(desktop_id = key.desktop_id, "deny-list not sent yet");
    }
    let mut expiry = std::pin::pin!(expired(worker, desktop.certificate.clone()));
    let agent_id = desktop.agent_id.clone();
    worker.presence.connected(key.clone(), desktop);
    loop {
        let message = tokio::select! {
            message = next(&mut inbound, &key) => message,
            () = &mut expiry => {
                end_expired(&key, &weak);
                None
            }
            // An agent that does not read may never end its stream.
            () = removed(known.clone()) => None,
        };
        let Some(message) = message else { break };
        // Messages are ignored while the schedulers may still refuse the connection, and after it
        // was closed here.
        if !is_known(&mut known, &weak).await {
            break;
        }
        match message {
            attach_request::Message::Result(result) => take_result(worker, &key, &agent_id, result).await,
            attach_request::Message::Started(started) => take_started(worker, session, started),
            attach_request::Message::OrderReturn(returned) => {
                take_return(worker, &key, &agent_id, session, returned).await;
            }
            attach_request::Message::DesktopUpdate(update) => {
                if let Some(desktop) = worker.registry.update(&key, session, update) {
                    worker.presence.connected(key.clone(), desktop);
                }
            }
            attach_request::Message::OutputChunk(chunk) => {
                live_output::take(worker, &key, &agent_id, chunk);
            }
            attach_request::Message::TimeRequest(_) => send_time(worker, &weak),
            attach_request::Message::Hello(_) => {
                tracing::warn!(desktop_id = key.desktop_id, "agent sent a second hello");
            }
        }
    }
    if worker.registry.disconnect(&key, session) {
        worker.presence.disconnected(key);
    }
    give_back(worker, session).await;
}

/// Waits until the connection's certificate expires, by the schedulers' time.
async fn expired(worker: &Worker, certificate: Option<Certificate>) {
    let Some(certificate) = certificate else { return std::future::pending().await };
    loop {
        let left_ms = certificate.not_after_unix_ms.saturating_sub(worker.clock.now().timestamp_millis());
        let Ok(left_ms) = u64::try_from(left_ms) else { return };
        // Sleeps in steps, because the clock may be adjusted.
        tokio::time::sleep(Duration::from_millis(left_ms.saturating_add(1)).min(LOOK_AT_TIME_EVERY)).await;
    }
}

fn end_expired(key: &DesktopKey, to_agent: &WeakToAgent) {
    tracing::info!(desktop_id = key.desktop_id, "connection closed: its certificate has expired");
    let ended = Err(Status::unauthenticated("the certificate of this connection has expired"));
    if to_agent.upgrade().is_none_or(|to_agent| to_agent.try_send(ended).is_err()) {
        tracing::debug!("the agent has already disconnected");
    }
}

/// Next message of the agent; `None` at the end of the stream.
async fn next(inbound: &mut Streaming<AttachRequest>, key: &DesktopKey) -> Option<attach_request::Message> {
    loop {
        match inbound.message().await {
            Ok(Some(AttachRequest { message: Some(message) })) => return Some(message),
            Ok(Some(_)) => tracing::warn!(desktop_id = key.desktop_id, "agent sent an unknown message"),
            Ok(None) => return None,
            Err(status) => {
                tracing::debug!(%status, desktop_id = key.desktop_id, "agent connection lost");
                return None;
            }
        }
    }
}

/// Waits until a scheduler accepts the connection; false if it ended at either side.
async fn is_known(known: &mut watch::Receiver<bool>, to_agent: &WeakToAgent) -> bool {
    // Without a sender the registry has removed the connection.
    let Some(to_agent) = to_agent.upgrade() else { return false };
    tokio::select! {
        biased;
        known = known.wait_for(|known| *known) => known.is_ok(),
        () = to_agent.closed() => false,
    }
}

/// Waits until the registry has removed the connection.
async fn removed(mut known: watch::Receiver<bool>) {
    while known.changed().await.is_ok() {}
}

/// Time of the schedulers; `None` until they have sent it.
fn time(worker: &Worker) -> Option<Time> {
    worker.clock.sample().map(|sample| Time::new(sample.now, sample.error))
}

fn send_time(worker: &Worker, to_agent: &WeakToAgent) {
    let Some((time, to_agent)) = time(worker).zip(to_agent.upgrade()) else { return };
    let answer = AttachResponse { message: Some(attach_response::Message::Time(time)) };
    if to_agent.try_send(Ok(answer)).is_err() {
        tracing::debug!("time not sent; the agent asks again");
    }
}

async fn give_back(worker: &Worker, session: SessionId) {
    for returned in worker.in_flight.release_session(session) {
        worker.reports.send(Item::Returned(returned)).await;
    }
}

/// Takes back an order that has not started.
async fn take_return(
    worker: &Worker,
    desktop: &DesktopKey,
    agent_id: &str,
    session: SessionId,
    order: OrderReturn,
) {
    let returned = order.key.as_ref().and_then(|key| worker.in_flight.give_back(key, session));
    let Some((returned, key)) = returned.zip(order.key) else {
        tracing::debug!(
            desktop_id = desktop.desktop_id,
            "order given back that this connection did not deliver"
        );
        return;
    };
    tracing::debug!(desktop_id = desktop.desktop_id, reason = order.reason, "order given back");
    if order.is_full {
        worker.registry.set_full(desktop, session, Instant::now());
    }
    let returned = ReturnedTarget {
        is_full: order.is_full,
        project_id: desktop.project_id.clone(),
        agent_id: agent_id.to_owned(),
        attempt: key.attempt,
        authenticator: order.authenticator,
        ..returned
    };
    worker.reports.send(Item::Returned(returned)).await;
}

/// Collects started scripts of targets that this connection delivered.
fn take_started(worker: &Worker, session: SessionId, started: Started) {
    for StartedScript { key, script, started_at_unix_ms } in started.scripts {
        let Some(key) = key else { continue };
        let Some(batch_id) = worker.in_flight.batch_on(&key, session) else { continue };
        let (task_id, ordinal, attempt) = (key.task_id.clone(), key.ordinal, key.attempt);
        let started = StartedTarget { task_id, batch_id, ordinal, attempt, script, started_at_unix_ms };
        worker.started.add(key, started);
    }
}

async fn take_result(worker: &Worker, desktop: &DesktopKey, agent_id: &str, result: OrderResult) {
    metric::RESULTS.increment(1, &[]);
    // A longer id belongs to no task, and schedulers would repeat it in answers and logs.
    let Some(key) = result.key.filter(|key| key.task_id.len() <= limits::MAX_ID_CHARS) else {
        tracing::warn!(desktop_id = desktop.desktop_id, "agent sent a result without a valid key");
        return;
    };
    let carried = Some(result.trace_context.as_str());
    let span = trace::child(carried, || {
        let (task_id, ordinal, desktop_id) = (&key.task_id, key.ordinal, &desktop.desktop_id);
        tracing::info_span!(target: trace::TARGET, parent: None, "report", %task_id, ordinal, %desktop_id)
    });
    // The authenticator covers the result as it is: the scheduler checks it.
    let scripts = match &result.authenticator {
        Some(_) => result.scripts,
        None => checked(&key, desktop, result.scripts),
    };
    let result = TargetResult {
        trace_context: trace::carry(&span, carried).unwrap_or_default(),
        task_id: key.task_id.clone(),
        ordinal: key.ordinal,
        attempt: key.attempt,
        // Empty for a result from the agent's journal that this worker did not request.
        batch_id: worker.in_flight.batch_of(&key, desktop).unwrap_or_default(),
        scripts,
        project_id: desktop.project_id.clone(),
        desktop_id: desktop.desktop_id.clone(),
        agent_id: agent_id.to_owned(),
        authenticator: result.authenticator,
        reboots_from: result.reboots_from,
    };
    let result = Box::new(result);
    worker.reports.send(Item::Result { key, desktop: desktop.clone(), result, _span: span }).await;
}

/// Checks the results that an agent sent. Those that are not valid become UNKNOWN: the target ends
/// with a reason instead of at its deadline.
fn checked(key: &ExecutionKey, desktop: &DesktopKey, mut scripts: Vec<ScriptResult>) -> Vec<ScriptResult> {
    if let Err(error) = proto::check_results(&mut scripts) {
        tracing::warn!(
            task_id = key.task_id, ordinal = key.ordinal, desktop_id = desktop.desktop_id, reason = %error,
            "agent sent a result that is not valid; it counts as UNKNOWN"
        );
        proto::make_unknown(&mut scripts, &format!("the agent's result is not valid: {error}"));
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_with_an_impossible_time_becomes_unknown() {
        let success = ScriptResult { outcome: "SUCCESS".into(), ..ScriptResult::default() };
        let check = |script| checked(&ExecutionKey::default(), &DesktopKey::default(), vec![script]);
        assert_eq!(check(success.clone()), std::slice::from_ref(&success));
        let lie = ScriptResult { started_at_unix_ms: -300_000_000_000_000, ..success };
        let [unknown] = &check(lie)[..] else { panic!("one script, one result") };
        assert_eq!(unknown.outcome, "UNKNOWN");
        assert!(unknown.reason.contains("started_at_unix_ms"), "{}", unknown.reason);
    }
}
