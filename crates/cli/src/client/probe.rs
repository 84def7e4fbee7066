//! Probe of an address: asks a server for its kind, without a credential.

use std::time::Duration;

use domain::Reason;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mtls::{Facts, ProxySettings, Role, TlsProbe, UnverifiedTls, probe_tls};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tonic::{Code, codegen::http::Uri};

use super::address::{Address, Transport};
use crate::server_kind::{Server, ServerKind};

/// Time limit of each step, and of the whole probe.
const STEP: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(8);
/// Wait for a server that speaks first, which no web server does.
const SPEAKS_FIRST_WITHIN: Duration = Duration::from_millis(300);
/// Maximum size of an answer that is read.
const MAX_ANSWER_BYTES: usize = 4_096;

/// Calls that only one kind of server knows. They change nothing without a credential.
const ADMIN_CALL: &str = "/graywave.admin.v1.ProjectService/GetProject";
const AGENT_CALL: &str = "/graywave.agent.v1.AgentService/Attach";
/// Health of a role, and its answer.
const HEALTH: (&str, &[u8]) = ("/healthz", b"alive\n");

/// Probes an address. `None` if no connection can be opened, or if the server does not answer in
/// time.
pub(crate) async fn probe(address: &Address, proxies: &ProxySettings) -> Option<Server> {
    let uri = address.url(Transport::Tls).parse().ok()?;
    let prober = Prober { host: address.host().to_owned(), uri, proxies: proxies.clone() };
    timeout(WHOLE, prober.probe()).await.ok()?
}

/// Address of a server to probe.
struct Prober {
    host: String,
    uri: Uri,
    proxies: ProxySettings,
}

/// Byte stream with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Prober {
    async fn probe(&self) -> Option<Server> {
        let tls = |certificate, requires_certificate, kind| {
            Some(Server { is_tls: true, certificate, requires_certificate, kind })
        };
        match self.shake_hands().await? {
            TlsProbe::Refused => tls(None, false, ServerKind::Unknown),
            TlsProbe::Tls(shown) => {
                let UnverifiedTls { stream, certificate, requires_certificate } = *shown;
                let kind = match role(certificate.as_ref()) {
                    Some(Role::Worker) => ServerKind::AgentGateway,
                    Some(Role::Scheduler) => ServerKind::Admin,
                    _ => self.ask(Box::new(stream), true).await,
                };
                tls(certificate, requires_certificate, kind)
            }
            TlsProbe::NotTls => {
                let kind = self.ask(self.connect(false).await?, false).await;
                Some(Server { is_tls: false, certificate: None, requires_certificate: false, kind })
            }
        }
    }

    async fn dial(&self) -> Option<TcpStream> {
        timeout(STEP, mtls::open_tcp(&self.uri, &self.proxies)).await.ok()?.ok()
    }

    async fn shake_hands(&self) -> Option<TlsProbe> {
        Some(probe_tls(self.dial().await?, &self.host, STEP).await)
    }

    async fn connect(&self, is_tls: bool) -> Option<Box<dyn Stream>> {
        if !is_tls {
            return Some(Box::new(self.dial().await?));
        }
        match self.shake_hands().await? {
            TlsProbe::Tls(shown) => Some(Box::new(shown.stream)),
            TlsProbe::Refused | TlsProbe::NotTls => None,
        }
    }

    /// Asks over HTTP/2, then over HTTP/1.1 on another connection.
    async fn ask(&self, stream: Box<dyn Stream>, is_tls: bool) -> ServerKind {
        let mut connections = JoinSet::new();
        if let Ok(Ok((sender, connection))) =
            timeout(STEP, http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await
        {
            connections.spawn(async move { drop(connection.await) });
            if let Ok(kind) = kind(&mut Sender::Http2(sender), &self.uri).await {
                return kind;
            }
        }
        let Some(stream) = self.connect(is_tls).await else { return ServerKind::Unknown };
        let mut stream = BufReader::new(stream);
        if matches!(timeout(SPEAKS_FIRST_WITHIN, stream.fill_buf()).await, Ok(Ok(bytes)) if !bytes.is_empty())
        {
            return ServerKind::NotHttp;
        }
        let Ok(Ok((sender, connection))) = timeout(STEP, http1::handshake(TokioIo::new(stream))).await else {
            return ServerKind::Unknown;
        };
        connections.spawn(async move { drop(connection.await) });
        match kind(&mut Sender::Http1(sender), &self.uri).await {
            Ok(kind) => kind,
            Err(Some(error)) if error.is_parse() => ServerKind::NotHttp,
            Err(_) => ServerKind::Unknown,
        }
    }
}

fn role(certificate: Option<&Facts>) -> Option<Role> {
    let identity = certificate?.identity.as_ref().ok()?;
    [Role::Worker, Role::Scheduler].into_iter().find(|role| identity.has_role(*role))
}

/// Connection to a server; it sends one request at a time.
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// Answer of a server.
struct Answer {
    status: u16,
    /// Status of a gRPC call, from the headers; `None` for other answers.
    grpc: Option<Code>,
    is_grpc: bool,
    /// Whether it has the request id that every answer of Graywave has.
    has_request_id: bool,
    body: Bytes,
}

impl Sender {
    /// Sends a request; the error is `None` after the time limit.
    async fn send(&mut self, method: Method, path: &str, uri: &Uri) -> Result<Answer, Option<hyper::Error>> {
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let request = match self {
            Self::Http1(_) => Request::builder().uri(path).header("host", authority),
            Self::Http2(_) => Request::builder().uri(format!("http://{authority}{path}")),
        };
        let request =
            request.method(method).header("content-type", "application/grpc").header("te", "trailers");
        let request = request.body(Empty::new()).map_err(|_| None)?;
        let sent = async {
            let response = match self {
                Self::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Self::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            Ok(read(response).await)
        };
        timeout(STEP, sent).await.map_err(|_| None)?.map_err(Some)
    }
}

async fn read(response: Response<Incoming>) -> Answer {
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_grpc = text("content-type").is_some_and(|kind| kind.starts_with("application/grpc"));
    let grpc = text("grpc-status").map(|status| Code::from_bytes(status.as_bytes()));
    let has_request_id = headers.contains_key("x-request-id");
    let status = response.status().as_u16();
    let body = if is_grpc {
        Bytes::new()
    } else {
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        body.map(|body| body.to_bytes()).unwrap_or_default()
    };
    Answer { status, grpc, is_grpc, has_request_id, body }
}

/// Asks for the kind of a server.
async fn kind(sender: &mut Sender, uri: &Uri) -> Result<ServerKind, Option<hyper::Error>> {
    let admin = sender.send(Method::POST, ADMIN_CALL, uri).await?;
    if admin.is_grpc {
        if admin.has_request_id {
            return Ok(ServerKind::Admin);
        }
        // A proxy without a reachable scheduler answers with another code.
        if admin.grpc != Some(Code::Unimplemented) {
            return Ok(ServerKind::Unknown);
        }
        let agent = sender.send(Method::POST, AGENT_CALL, uri).await?;
        let is_gateway = agent.is_grpc && agent.grpc != Some(Code::Unimplemented);
        return Ok(if is_gateway { ServerKind::AgentGateway } else { ServerKind::OtherGrpc });
    }
    if admin.has_request_id && is_rest_error(&admin.body) {
        return Ok(ServerKind::RestApi);
    }
    let (path, alive) = HEALTH;
    let is_role = sender.send(Method::GET, path, uri).await.is_ok_and(|health| health.body == alive);
    Ok(if is_role { ServerKind::Telemetry } else { ServerKind::OtherHttp(admin.status) })
}

/// Whether a body is the REST API's error for an unknown path.
fn is_rest_error(body: &[u8]) -> bool {
    let Ok(Value::Object(error)) = serde_json::from_slice(body) else { return false };
    error.get("error_code").and_then(Value::as_str) == Some(Reason::PathNotFound.code())
}
