//! Simulated agents: each has its own stream on the real protocol and answers every order at once with a success.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::{
    agent::{
        AttachRequest, Hello, Order, OrderResult, agent_service_client::AgentServiceClient, attach_request,
        attach_response,
    },
    limits,
    types::{Desktop, ScriptResult},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// Streams that share one connection; servers allow 200 by default.
const STREAMS_PER_CONNECTION: u32 = 100;

/// An order that reached its agent.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When.
    pub at: Instant,
}

/// The agents; gone when dropped.
#[derive(Debug)]
pub struct Fleet {
    agents: JoinSet<anyhow::Result<()>>,
}

/// The id of a numbered desktop.
pub fn desktop_id(number: u32) -> String {
    format!("sim-{number:07}")
}

impl Fleet {
    /// Connects `size` agents to a worker. With `arrivals`, each order is told there.
    pub async fn connect(
        worker_url: &str,
        project_id: &str,
        size: u32,
        arrivals: Option<mpsc::Sender<Arrival>>,
    ) -> anyhow::Result<Self> {
        let mut agents = JoinSet::new();
        let mut channel: Option<Channel> = None;
        for number in 0..size {
            if number % STREAMS_PER_CONNECTION == 0 {
                let endpoint = Endpoint::from_shared(worker_url.to_owned())?
                    .connect_timeout(Duration::from_secs(10))
                    .tcp_nodelay(true);
                channel = Some(endpoint.connect().await.context("cannot reach the worker")?);
            }
            if let Some(channel) = channel.clone() {
                agents.spawn(agent(channel, project_id.to_owned(), number, arrivals.clone()));
            }
        }
        Ok(Self { agents })
    }

    /// Waits for an agent to end, which none does by itself; returns why.
    pub async fn broken(&mut self) -> anyhow::Error {
        match self.agents.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            _ => anyhow::anyhow!("a worker closed an agent's stream"),
        }
    }
}

async fn agent(
    channel: Channel,
    project_id: String,
    number: u32,
    arrivals: Option<mpsc::Sender<Arrival>>,
) -> anyhow::Result<()> {
    let (to_worker, requests) = mpsc::channel(16);
    let id = desktop_id(number);
    let desktop = Desktop {
        project_id,
        computer_name: id.clone(),
        desktop_id: id,
        os_type: "Linux".into(),
        agent_version: "simulated".into(),
        ..Desktop::default()
    };
    let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
    to_worker.send(AttachRequest { message: Some(hello) }).await?;
    let mut client = AgentServiceClient::new(channel).max_decoding_message_size(limits::MAX_MESSAGE_BYTES);
    let mut inbound = client.attach(ReceiverStream::new(requests)).await?.into_inner();
    while let Some(response) = inbound.message().await? {
        if let Some(attach_response::Message::Order(order)) = response.message {
            if let Some(arrivals) = &arrivals {
                arrivals.send(Arrival { at: Instant::now() }).await?;
            }
            let result = attach_request::Message::Result(success(order));
            to_worker.send(AttachRequest { message: Some(result) }).await?;
        }
    }
    Ok(())
}

fn success(order: Order) -> OrderResult {
    let now = chrono::Utc::now().timestamp_millis();
    let scripts = (0..)
        .zip(&order.scripts)
        .map(|(script, _)| ScriptResult {
            script,
            outcome: "SUCCESS".into(),
            exit_code: Some(0),
            started_at_unix_ms: now,
            ended_at_unix_ms: now,
            output: String::new(),
            reason: String::new(),
        })
        .collect();
    OrderResult { key: order.key, scripts }
}
