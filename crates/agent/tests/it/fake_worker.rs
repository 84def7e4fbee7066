//! Fake worker: the test controls the worker's end of the stream.

use std::time::Duration;

use proto::{
    agent::{
        AttachRequest, AttachResponse, ExecutionKey, Order, OrderResult, OutputChunk, ResultAck, StopOrder,
        WatchOutput, Welcome,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request, attach_response,
    },
    types::{Desktop, Time},
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Time limit of one wait. Under Wine, on a machine with other work, a process starts in seconds.
const SOON: Duration = Duration::from_secs(if cfg!(windows) { 120 } else { 30 });

/// Fails a test that would wait forever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("a wait timed out")
}

/// Time of this worker, which differs from the machine's.
pub(crate) const NOW_UNIX_MS: i64 = 4_000_000_000_000;

pub(crate) struct FakeWorker {
    pub(crate) url: String,
    sessions: mpsc::Receiver<Session>,
}

/// One attached agent; dropping this ends the stream.
pub(crate) struct Session {
    pub(crate) desktop: Desktop,
    responses: mpsc::Sender<Result<AttachResponse, Status>>,
    requests: Streaming<AttachRequest>,
}

struct Service {
    sessions: mpsc::Sender<Session>,
}

#[tonic::async_trait]
impl AgentService for Service {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut requests = request.into_inner();
        let Some(attach_request::Message::Hello(hello)) = requests.message().await?.and_then(|it| it.message)
        else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (responses, stream) = mpsc::channel(16);
        let session = Session { desktop: hello.desktop.unwrap_or_default(), responses, requests };
        let time = Some(Time { now_unix_ms: NOW_UNIX_MS, error_ms: 0 });
        session.send(attach_response::Message::Welcome(Welcome { worker_id: "w1".to_owned(), time })).await;
        self.sessions.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl FakeWorker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, sessions) = mpsc::channel(16);
        let server = Server::builder().add_service(AgentServiceServer::new(Service { sessions: sender }));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, sessions }
    }

    /// Next agent that attaches.
    pub(crate) async fn session(&mut self) -> Session {
        soon(self.sessions.recv()).await.unwrap()
    }
}

impl Session {
    async fn send(&self, message: attach_response::Message) {
        self.responses.send(Ok(AttachResponse { message: Some(message) })).await.unwrap();
    }

    /// Ends the stream with a status.
    #[cfg_attr(windows, expect(dead_code, reason = "only a test on Unix needs it"))]
    pub(crate) async fn refuse(&self, status: Status) {
        self.responses.send(Err(status)).await.unwrap();
    }

    pub(crate) async fn order(&self, order: Order) {
        self.send(attach_response::Message::Order(order)).await;
    }

    pub(crate) async fn stop(&self, key: ExecutionKey, script: u32) {
        self.send(attach_response::Message::Stop(StopOrder { key: Some(key), script })).await;
    }

    pub(crate) async fn watch_output(&self, key: ExecutionKey, from_offset: u64) {
        let asked = WatchOutput { key: Some(key), script: 0, from_offset };
        self.send(attach_response::Message::WatchOutput(asked)).await;
    }

    /// Next part of live output of the agent.
    pub(crate) async fn output(&mut self) -> OutputChunk {
        loop {
            match self.request().await {
                attach_request::Message::OutputChunk(chunk) => return chunk,
                attach_request::Message::Started(_) => {}
                other => panic!("no output: {other:?}"),
            }
        }
    }

    /// Live output from an offset to its end, which may come in several parts. The result may come
    /// before the last one.
    pub(crate) async fn output_from(&mut self, offset: u64) -> Vec<u8> {
        let mut content = Vec::new();
        loop {
            let attach_request::Message::OutputChunk(chunk) = self.request().await else { continue };
            if chunk.offset == offset + content.len() as u64 {
                content.extend(chunk.content);
            }
            if chunk.is_last {
                return content;
            }
        }
    }

    pub(crate) async fn ack(&self, key: ExecutionKey) {
        self.send(attach_response::Message::Ack(ResultAck { key: Some(key), scripts: 0 })).await;
    }

    /// Next result of the agent. Reports of started scripts, output and questions for the time are
    /// skipped.
    pub(crate) async fn result(&mut self) -> OrderResult {
        loop {
            match self.request().await {
                attach_request::Message::Result(result) => return result,
                attach_request::Message::Started(_)
                | attach_request::Message::OutputChunk(_)
                | attach_request::Message::TimeRequest(_) => {}
                other => panic!("not a result: {other:?}"),
            }
        }
    }

    /// Next message of the agent.
    pub(crate) async fn request(&mut self) -> attach_request::Message {
        soon(self.requests.message()).await.unwrap().unwrap().message.unwrap()
    }
}
