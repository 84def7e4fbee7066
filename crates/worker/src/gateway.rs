//! The agents' gateway: one long stream for each desktop.

use std::{pin::Pin, sync::Arc, time::Duration};

use domain::{
    ids::{DesktopId, ProjectId},
    limits,
};
use futures::Stream;
use proto::{
    agent::{
        AttachRequest, AttachResponse, OrderResult, Welcome,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request, attach_response,
    },
    scheduler::{DesktopKey, TargetResult},
    types::Desktop,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{registry::SessionId, reports::Item, shared::Worker};

/// A connection that does not say who it is within this time is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn service(worker: Arc<Worker>) -> AgentServiceServer<impl AgentService> {
    AgentServiceServer::new(Gateway { worker })
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
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
            return Err(Status::unavailable("this worker is stopping: connect to another one"));
        }
        if self.worker.registry.len() >= self.worker.config.max_agents {
            return Err(Status::resource_exhausted("this worker holds as many agents as it may"));
        }
        let mut inbound = request.into_inner();
        let (to_agent, outbound) = mpsc::channel(limits::MAX_ORDERS_PER_AGENT);
        // The agent waits for the response's headers before it speaks, so who it is is learnt in the background.
        let worker = Arc::clone(&self.worker);
        tokio::spawn(async move {
            let hello = match tokio::time::timeout(HELLO_WITHIN, hello(&mut inbound)).await {
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
    if to_agent.try_send(Err(status)).is_err() {
        tracing::debug!("the refused agent is gone already");
    }
}

/// The first message: who it is.
async fn hello(inbound: &mut Streaming<AttachRequest>) -> Result<Desktop, Status> {
    let first = inbound.message().await?.and_then(|request| request.message);
    let Some(attach_request::Message::Hello(hello)) = first else {
        return Err(Status::invalid_argument("the first message must be hello"));
    };
    let desktop = hello.desktop.ok_or_else(|| Status::invalid_argument("hello names no desktop"))?;
    let invalid = |error: domain::Error| Status::invalid_argument(error.message);
    desktop.project_id.parse::<ProjectId>().map_err(invalid)?;
    desktop.desktop_id.parse::<DesktopId>().map_err(invalid)?;
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
    let welcome = attach_response::Message::Welcome(Welcome { worker_id: worker.worker_id.clone() });
    if to_agent.send(Ok(AttachResponse { message: Some(welcome) })).await.is_err() {
        return;
    }
    // The registry holds the only other sender: when it lets go, the stream ends, and the agent goes elsewhere.
    let closed = to_agent.downgrade();
    let (session, replaced) = worker.registry.connect(key.clone(), desktop.clone(), to_agent);
    if let Some(older) = replaced {
        give_back(worker, older).await;
    }
    worker.presence.came(key.clone(), desktop);
    loop {
        match inbound.message().await {
            Ok(Some(AttachRequest { message: Some(attach_request::Message::Result(result)) })) => {
                take_result(worker, &key, result).await;
            }
            Ok(Some(_)) => tracing::warn!(desktop_id = key.desktop_id, "an agent sent something unexpected"),
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(%status, desktop_id = key.desktop_id, "an agent's connection broke");
                break;
            }
        }
        if closed.upgrade().is_none() {
            break;
        }
    }
    if worker.registry.disconnect(&key, session) {
        worker.presence.went(key);
    }
    give_back(worker, session).await;
}

async fn give_back(worker: &Worker, session: SessionId) {
    for returned in worker.ledger.release_session(session) {
        worker.reports.send(Item::Returned(returned)).await;
    }
}

async fn take_result(worker: &Worker, desktop: &DesktopKey, result: OrderResult) {
    let Some(key) = result.key else {
        tracing::warn!(desktop_id = desktop.desktop_id, "an agent sent a result without a key");
        return;
    };
    let result = TargetResult {
        task_id: key.task_id.clone(),
        ordinal: key.ordinal,
        attempt: key.attempt,
        // Empty for a result from the agent's journal that we did not ask for.
        batch_id: worker.ledger.batch_of(&key).unwrap_or_default(),
        scripts: result.scripts,
        project_id: desktop.project_id.clone(),
        desktop_id: desktop.desktop_id.clone(),
    };
    worker.reports.send(Item::Result { key, desktop: desktop.clone(), result }).await;
}
