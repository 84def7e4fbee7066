//! Simulated agents: each has its own stream on the real protocol and answers every order with a
//! success, or with a failure where the command is [`FAILING`]. It answers at once, or where the
//! command is [`SLOW`] after a while.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::{
    agent::{
        AttachRequest, AttachResponse, Hello, Order, OrderResult, agent_service_client::AgentServiceClient,
        attach_request, attach_response,
    },
    limits,
    types::{Desktop, Script, ScriptResult},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

/// Agents that share one connection, to save descriptors; a worker takes no more streams of one
/// than this.
const STREAMS_PER_CONNECTION: u32 = 4;

/// A command of which every simulated agent says that it failed, with an output of its own.
pub const FAILING: &str = "exit 1";

/// A command that takes simulated agents up to four seconds. Durations are spread evenly over the
/// fleet, so that a worker which it fills has room again at any time.
pub const SLOW: &str = "sleep 2";

/// An order that reached its agent.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Time of the arrival, by the clock of this process.
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
    /// Connects `size` agents to a worker. With `arrivals`, each order is sent there.
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
    let id = desktop_id(number);
    let desktop = Desktop {
        project_id,
        computer_name: id.clone(),
        desktop_id: id,
        os_type: "Linux".into(),
        agent_version: "simulated".into(),
        ..Desktop::default()
    };
    let (to_worker, mut inbound) = attach(channel, desktop).await?;
    while let Some(response) = inbound.message().await? {
        if let Some(attach_response::Message::Order(order)) = response.message {
            if let Some(arrivals) = &arrivals {
                arrivals.send(Arrival { at: Instant::now() }).await?;
            }
            tokio::time::sleep(duration_of(&order, number)).await;
            let result = attach_request::Message::Result(answer(order, number));
            to_worker.send(AttachRequest { message: Some(result) }).await?;
        }
    }
    Ok(())
}

/// Attaches a desktop to a worker and returns both directions of its stream.
///
/// # Errors
///
/// When the worker does not answer or refuses the stream.
pub(crate) async fn attach(
    channel: Channel,
    desktop: Desktop,
) -> anyhow::Result<(mpsc::Sender<AttachRequest>, Streaming<AttachResponse>)> {
    let (to_worker, requests) = mpsc::channel(16);
    let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
    to_worker.send(AttachRequest { message: Some(hello) }).await?;
    let mut client = AgentServiceClient::new(channel).max_decoding_message_size(limits::MAX_MESSAGE_BYTES);
    let inbound = client.attach(ReceiverStream::new(requests)).await?.into_inner();
    Ok((to_worker, inbound))
}

/// Duration of an order on a numbered desktop.
fn duration_of(order: &Order, number: u32) -> Duration {
    let is_slow = order.scripts.iter().any(|script| script.content == SLOW);
    // A prime step, so that neighbours differ.
    let ms = if is_slow { u64::from(number) * 397 % 4_000 } else { 0 };
    Duration::from_millis(ms)
}

fn answer(order: Order, number: u32) -> OrderResult {
    let now = chrono::Utc::now().timestamp_millis();
    let scripts = (0..)
        .zip(&order.scripts)
        .map(|(script, Script { content, .. })| {
            let fails = content == FAILING;
            ScriptResult {
                script,
                outcome: if fails { "FAILED" } else { "SUCCESS" }.into(),
                exit_code: Some(i32::from(fails)),
                started_at_unix_ms: now,
                ended_at_unix_ms: now,
                output: if fails { complaint(number) } else { String::new() },
                reason: String::new(),
                ..ScriptResult::default()
            }
        })
        .collect();
    OrderResult { key: order.key, scripts, trace_context: order.trace_context, ..OrderResult::default() }
}

/// What a package manager may say: five kinds of failures, each with a path, a time and a number
/// that differ.
fn complaint(number: u32) -> String {
    let kind = ["lock", "space", "network", "signature", "dependency"][number as usize % 5];
    format!(
        "2026-11-24T10:{:02}:{:02}Z reading package lists of desktop {number}\n\
         E: {kind} problem at /var/lib/apt/lists/partial/{number:08x}\n\
         E: 10.0.{}.{}:443 said no after {number} ms\n",
        number / 60 % 60,
        number % 60,
        number / 256 % 256,
        number % 256,
    )
}
