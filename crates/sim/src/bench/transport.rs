//! The yardstick of the transport: one order and one result on each stream, and nothing else. The
//! server is a process of its own, as a worker is; the agents are those of the measurement.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    pin::Pin,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use futures::Stream;
use proto::{
    agent::{
        AttachRequest, AttachResponse, ExecutionKey, Order,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request, attach_response,
    },
    types::Script,
};
use sim::fleet::Fleet;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Orders that wait for one agent.
const QUEUE: usize = 4;
/// Time limit of a round. Without it, one broken stream would make the benchmark wait forever.
const ROUND_WITHIN: Duration = Duration::from_secs(60);
/// Begins the answer of a round that failed.
const FAILED: &str = "failed: ";

/// Streams with nothing between the two ends. Dropping this ends the server.
pub(crate) struct Transport {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    streams: u32,
    _fleet: Fleet,
}

impl Transport {
    /// Starts the server and connects this number of agents.
    pub(crate) async fn start(streams: u32) -> anyhow::Result<Self> {
        let mut server = Command::new(std::env::current_exe()?)
            .args(["transport-server", &streams.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = server.stdin.take().context("no input")?;
        let mut output = BufReader::new(server.stdout.take().context("no output")?);
        let mut address = String::new();
        output.read_line(&mut address)?;
        let fleet = Fleet::connect(&format!("http://{}", address.trim()), "bench", streams, None).await?;
        Ok(Self { server, input, output, streams, _fleet: fleet })
    }

    /// Exchanges one order and one result on each stream. Returns the exchanges per second.
    pub(crate) fn measure(&mut self) -> anyhow::Result<f64> {
        writeln!(self.input, "round")?;
        let mut line = String::new();
        // Blocks this thread; the agents run on the others.
        tokio::task::block_in_place(|| self.output.read_line(&mut line))?;
        Ok(f64::from(self.streams) / read_answer(&line)?)
    }
}

/// Reads the seconds of a round.
fn read_answer(line: &str) -> anyhow::Result<f64> {
    if let Some(reason) = line.trim().strip_prefix(FAILED) {
        bail!("the transport server failed: {reason}");
    }
    line.trim().parse().context("the transport server has ended")
}

/// Formats the answer of a round.
async fn answer(within: Duration, round: impl Future<Output = anyhow::Result<f64>>) -> String {
    match tokio::time::timeout(within, round).await {
        Ok(Ok(seconds)) => seconds.to_string(),
        Ok(Err(error)) => format!("{FAILED}{error:#}"),
        Err(_) => format!("{FAILED}not every agent has connected and answered within {within:?}"),
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// Streams of the server.
#[derive(Debug, Default)]
struct Streams {
    agents: Mutex<Vec<mpsc::Sender<Result<AttachResponse, Status>>>>,
    results: AtomicU32,
    changed: Notify,
}

struct Service {
    streams: Arc<Streams>,
}

#[tonic::async_trait]
impl AgentService for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (streams, mut inbound) = (Arc::clone(&self.streams), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                match message.message {
                    Some(attach_request::Message::Hello(_)) => {
                        let mut agents = streams.agents.lock().unwrap_or_else(PoisonError::into_inner);
                        agents.push(sender.clone());
                    }
                    Some(attach_request::Message::Result(_)) => {
                        streams.results.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => continue,
                }
                streams.changed.notify_one();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Streams {
    async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    fn connected(&self) -> usize {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits for all agents, sends an order to each and waits for all results. Returns the seconds
    /// from the first order on.
    async fn exchange(&self, number: u32) -> anyhow::Result<f64> {
        self.wait_until(|streams| streams.connected() >= number as usize).await;
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.results.store(0, Ordering::Relaxed);
        let begun = Instant::now();
        for (agent, ordinal) in agents.iter().zip(0..) {
            agent.send(Ok(AttachResponse { message: Some(order(ordinal)) })).await?;
        }
        self.wait_until(|streams| streams.results.load(Ordering::Relaxed) >= number).await;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(seconds > 0.0, "the clock stands still");
        Ok(seconds)
    }
}

fn order(ordinal: u32) -> attach_response::Message {
    let task_id = uuid::Uuid::now_v7().to_string();
    let script = Script { content: "true".into(), ..Script::default() };
    attach_response::Message::Order(Order {
        key: Some(ExecutionKey { task_id, ordinal, attempt: 1 }),
        scripts: vec![script],
        ..Order::default()
    })
}

/// Serves this number of agents: a round of exchanges for each line of the input.
#[expect(clippy::print_stdout, reason = "the answers of a child process")]
pub(crate) async fn serve(number: u32) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let streams = Arc::new(Streams::default());
    let service = AgentServiceServer::new(Service { streams: Arc::clone(&streams) });
    let mut serving = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    loop {
        let is_asked = tokio::select! {
            is_asked = tokio::task::spawn_blocking(is_asked) => is_asked??,
            ended = &mut serving => { ended??; false }
        };
        if !is_asked {
            return Ok(());
        }
        println!("{}", answer(ROUND_WITHIN, streams.exchange(number)).await);
    }
}

/// Waits for a line of the input; false at its end.
fn is_asked() -> std::io::Result<bool> {
    Ok(std::io::stdin().read_line(&mut String::new())? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn round_without_an_end_is_reported() {
        let streams = Streams::default();
        let silent = answer(Duration::ZERO, streams.exchange(1)).await;
        let error = read_answer(&format!("{silent}\n")).unwrap_err().to_string();
        assert!(error.contains("answered within 0ns"), "{error}");
        let done = answer(ROUND_WITHIN, std::future::ready(Ok(0.25))).await;
        assert!((read_answer(&done).unwrap() - 0.25).abs() < f64::EPSILON, "{done}");
        assert!(read_answer("").unwrap_err().to_string().contains("has ended"));
    }
}
