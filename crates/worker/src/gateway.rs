//! The agents' gateway: one long stream for each desktop.

use std::{pin::Pin, sync::Arc, time::Duration};

use domain::limits;
use futures::Stream;
use mtls::{Certified, Identity};
use proto::{
    agent::{
        AttachRequest, AttachResponse, OrderResult, Welcome,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request, attach_response,
    },
    scheduler::{DesktopKey, TargetResult},
    types::{Certificate, Desktop, Time},
};
use telemetry::{metric, trace};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    registry::{self, Connected, SessionId},
    report_queue::Item,
    state::Worker,
};

/// A connection that does not say who it is within this time is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

const LOOK_AT_TIME_EVERY: Duration = Duration::from_secs(60);

/// A worker that has just started needs a moment to learn the time. Without it no deadline can be kept.
const TIME_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn service(worker: Arc<Worker>) -> AgentServiceServer<impl AgentService> {
    AgentServiceServer::new(Gateway { worker })
        .max_decoding_message_size(limits::MAX_AGENT_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}

type WeakToAgent = mpsc::WeakSender<Result<AttachResponse, Status>>;

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
            return Err(Status::unavailable("this worker is stopping: connect to another one"));
        }
        if self.worker.registry.len() >= self.worker.config.max_agents {
            return Err(Status::resource_exhausted("this worker holds as many agents as it may"));
        }
        let shown = request.extensions().get::<Certified>().cloned();
        let mut inbound = request.into_inner();
        let (to_agent, outbound) = mpsc::channel(limits::MAX_ORDERS_PER_AGENT);
        // The agent waits for the response's headers before it speaks, so who it is is learnt in the background.
        let worker = Arc::clone(&self.worker);
        tokio::spawn(async move {
            let hello = match tokio::time::timeout(HELLO_WITHIN, hello(&mut inbound, shown.as_ref())).await {
                Ok(Ok(desktop)) => desktop,
                Ok(Err(status)) => return refuse(&to_agent, status),
                Err(_) => return refuse(&to_agent, Status::deadline_exceeded("no hello came")),
            };
            serve(&worker, inbound, to_agent, hello).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }
}

fn refuse(to_agent: &mpsc::Sender<Result<AttachResponse, Status>>, status: Status) {
    tracing::warn!(%status, "an agent was refused");
    metric::AGENTS_REFUSED.increment(1, &[]);
    if to_agent.try_send(Err(status)).is_err() {
        tracing::debug!("the refused agent is gone already");
    }
}

/// The first message: who it is, which must be who its certificate says.
async fn hello(inbound: &mut Streaming<AttachRequest>, shown: Option<&Certified>) -> Result<Desktop, Status> {
    let first = inbound.message().await?.and_then(|request| request.message);
    let Some(attach_request::Message::Hello(hello)) = first else {
        return Err(Status::invalid_argument("the first message must be hello"));
    };
    let desktop = hello.desktop.ok_or_else(|| Status::invalid_argument("hello names no desktop"))?;
    if let Err(error) = desktop.clone().facts() {
        return Err(Status::invalid_argument(error.to_string()));
    }
    let desktop = match shown {
        Some(shown) => certified(&shown.identity, desktop)?,
        None => desktop,
    };
    // What an agent says of its own certificate is nothing.
    Ok(Desktop { certificate: shown.map(certificate), ..desktop })
}

fn certificate(shown: &Certified) -> Certificate {
    Certificate {
        serial: shown.serial.clone(),
        not_before_unix_ms: shown.not_before_unix.saturating_mul(1_000),
        not_after_unix_ms: shown.not_after_unix.saturating_mul(1_000),
    }
}

/// The desktop, which its certificate must name; one that calls itself something else is refused.
fn certified(identity: &Identity, desktop: Desktop) -> Result<Desktop, Status> {
    let claimed = Identity::desktop(&desktop.project_id, &desktop.desktop_id)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if claimed != *identity {
        let reason = format!("the certificate is of {identity}, and not of {claimed}");
        return Err(Status::permission_denied(reason));
    }
    Ok(desktop)
}

/// Serves one connection to its end.
async fn serve(
    worker: &Worker,
    mut inbound: Streaming<AttachRequest>,
    to_agent: mpsc::Sender<Result<AttachResponse, Status>>,
    desktop: Desktop,
) {
    let key = DesktopKey { project_id: desktop.project_id.clone(), desktop_id: desktop.desktop_id.clone() };
    if worker.knows_time_within(TIME_WITHIN).await.is_none() {
        return refuse(
            &to_agent,
            Status::unavailable("this worker reaches no scheduler: connect to another one"),
        );
    }
    let desktop = Desktop { connected_at_unix_ms: proto::unix_ms(Some(worker.clock.now())), ..desktop };
    if worker.registry.is_another_agents(&key, &desktop) {
        return refuse(&to_agent, registry::elsewhere());
    }
    let welcome = Welcome { worker_id: worker.worker_id.clone(), time: time(worker) };
    let welcome = attach_response::Message::Welcome(welcome);
    if to_agent.send(Ok(AttachResponse { message: Some(welcome) })).await.is_err() {
        return;
    }
    // The registry holds the only other sender: when it lets go, the stream ends, and the agent goes elsewhere.
    let weak = to_agent.downgrade();
    let Some(connected) = worker.registry.connect(key.clone(), desktop.clone(), to_agent) else { return };
    let Connected { session, replaced, mut known } = connected;
    if let Some(older) = replaced {
        give_back(worker, older).await;
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
        };
        let Some(message) = message else { break };
        // Nothing is taken from a connection that the schedulers may refuse, nor after it was ended here.
        if !is_known(&mut known, &weak).await {
            break;
        }
        match message {
            attach_request::Message::Result(result) => take_result(worker, &key, &agent_id, result).await,
            attach_request::Message::TimeRequest(_) => tell_time(worker, &weak),
            attach_request::Message::Hello(_) => {
                tracing::warn!(desktop_id = key.desktop_id, "an agent says hello again");
            }
        }
    }
    if worker.registry.disconnect(&key, session) {
        worker.presence.disconnected(key);
    }
    give_back(worker, session).await;
}

/// Waits until the certificate of a connection is good no more, by the schedulers' time.
async fn expired(worker: &Worker, certificate: Option<Certificate>) {
    let Some(certificate) = certificate else { return std::future::pending().await };
    loop {
        let left_ms = certificate.not_after_unix_ms.saturating_sub(worker.clock.now().timestamp_millis());
        let Ok(left_ms) = u64::try_from(left_ms) else { return };
        // Not in one go: the time may be told anew.
        tokio::time::sleep(Duration::from_millis(left_ms.saturating_add(1)).min(LOOK_AT_TIME_EVERY)).await;
    }
}

fn end_expired(key: &DesktopKey, to_agent: &WeakToAgent) {
    tracing::info!(desktop_id = key.desktop_id, "a connection is ended: its certificate has expired");
    let ended = Err(Status::unauthenticated("the certificate of this connection has expired"));
    if to_agent.upgrade().is_none_or(|to_agent| to_agent.try_send(ended).is_err()) {
        tracing::debug!("the agent is gone already");
    }
}

/// The agent's next message; `None` when there will be none.
async fn next(inbound: &mut Streaming<AttachRequest>, key: &DesktopKey) -> Option<attach_request::Message> {
    loop {
        match inbound.message().await {
            Ok(Some(AttachRequest { message: Some(message) })) => return Some(message),
            Ok(Some(_)) => tracing::warn!(desktop_id = key.desktop_id, "an agent sent something unexpected"),
            Ok(None) => return None,
            Err(status) => {
                tracing::debug!(%status, desktop_id = key.desktop_id, "an agent's connection broke");
                return None;
            }
        }
    }
}

/// Waits until the schedulers know of the connection; false when it has ended, there or here.
async fn is_known(known: &mut watch::Receiver<bool>, to_agent: &WeakToAgent) -> bool {
    // The registry has let go of it, if nobody has a sender any more.
    let Some(to_agent) = to_agent.upgrade() else { return false };
    tokio::select! {
        biased;
        known = known.wait_for(|known| *known) => known.is_ok(),
        () = to_agent.closed() => false,
    }
}

/// The time, where the schedulers have told it.
fn time(worker: &Worker) -> Option<Time> {
    worker.clock.told().map(|told| Time::new(told.now, told.error))
}

fn tell_time(worker: &Worker, to_agent: &WeakToAgent) {
    let Some((time, to_agent)) = time(worker).zip(to_agent.upgrade()) else { return };
    let answer = AttachResponse { message: Some(attach_response::Message::Time(time)) };
    if to_agent.try_send(Ok(answer)).is_err() {
        tracing::debug!("the time was not taken; it will be asked for again");
    }
}

async fn give_back(worker: &Worker, session: SessionId) {
    for returned in worker.in_flight.release_session(session) {
        worker.reports.send(Item::Returned(returned)).await;
    }
}

async fn take_result(worker: &Worker, desktop: &DesktopKey, agent_id: &str, result: OrderResult) {
    metric::RESULTS.increment(1, &[]);
    let Some(key) = result.key else {
        tracing::warn!(desktop_id = desktop.desktop_id, "an agent sent a result without a key");
        return;
    };
    let carried = Some(result.trace_context.as_str());
    let span = trace::child(carried, || {
        let (task_id, ordinal, desktop_id) = (&key.task_id, key.ordinal, &desktop.desktop_id);
        tracing::info_span!(target: trace::TARGET, parent: None, "report", %task_id, ordinal, %desktop_id)
    });
    let result = TargetResult {
        trace_context: trace::carry(&span, carried).unwrap_or_default(),
        task_id: key.task_id.clone(),
        ordinal: key.ordinal,
        attempt: key.attempt,
        // Empty for a result from the agent's journal that we did not ask for.
        batch_id: worker.in_flight.batch_of(&key).unwrap_or_default(),
        scripts: result.scripts,
        project_id: desktop.project_id.clone(),
        desktop_id: desktop.desktop_id.clone(),
        agent_id: agent_id.to_owned(),
    };
    let result = Box::new(result);
    worker.reports.send(Item::Result { key, desktop: desktop.clone(), result, span }).await;
}
