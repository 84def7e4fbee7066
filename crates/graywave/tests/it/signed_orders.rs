//! A stolen worker with a valid certificate and connected agents. It tries to run orders that no
//! scheduler signed.

use std::{fs, path::Path};

use chrono::{DateTime, Utc};
use mtls::{Role, read_certificates};
use prost::Message as _;
use proto::{
    agent::{
        AttachRequest, AttachResponse, ExecutionKey, Order, OrderResult, ResultAck, Welcome,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request,
        attach_response::Message,
    },
    order::{BatchTerms, Signed, Signer},
    order_signing::{sha256, tree},
    scheduler::{
        Batch, HeartbeatRequest, PullRequest, PullResponse, UpdatePresenceRequest,
        scheduler_service_client::SchedulerServiceClient,
    },
    types::{Desktop, Script, Time},
};
use serde_json::json;
use server::{Listener, Security};
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server},
};

use crate::{
    cluster::{Cluster, PROJECT, desktop},
    harness::{Process, wait_for},
    pki::loaded,
};

const THIEF: &str = "worker-thief-0198f0000000700080000000000000ab";

/// An attached agent.
struct Session {
    desktop: Desktop,
    to_agent: mpsc::Sender<Result<AttachResponse, Status>>,
    from_agent: Streaming<AttachRequest>,
}

struct Gateway(mpsc::Sender<Session>);

#[tonic::async_trait]
impl AgentService for Gateway {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut from_agent = request.into_inner();
        let (to_agent, outbound) = mpsc::channel(16);
        let sessions = self.0.clone();
        tokio::spawn(async move {
            let hello = from_agent.message().await.unwrap().unwrap().message;
            let Some(attach_request::Message::Hello(hello)) = hello else { panic!("no hello") };
            let session = Session { desktop: hello.desktop.unwrap(), to_agent, from_agent };
            let time = Some(Time { now_unix_ms: Utc::now().timestamp_millis(), error_ms: 1 });
            session.say(Message::Welcome(Welcome { worker_id: THIEF.into(), time })).await;
            sessions.send(session).await.unwrap();
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

impl Session {
    async fn say(&self, message: Message) {
        self.to_agent.send(Ok(AttachResponse { message: Some(message) })).await.unwrap();
    }

    /// Sends an order and returns the agent's result.
    async fn order(&mut self, order: Order) -> OrderResult {
        self.say(Message::Order(order)).await;
        loop {
            if let Some(attach_request::Message::Result(result)) =
                self.from_agent.message().await.unwrap().unwrap().message
            {
                return result;
            }
        }
    }

    /// Asserts that an order is rejected with a reason that contains `why`.
    async fn refuses(&mut self, order: Order, why: &str) {
        let result = self.order(order).await;
        let script = &result.scripts[0];
        assert_eq!(script.outcome, "REJECTED", "{result:?}");
        assert!(script.reason.contains(why), "{}", script.reason);
    }
}

/// The stolen worker: its server for agents and its client of a scheduler.
struct Thief {
    runtime: Runtime,
    address: String,
    sessions: mpsc::Receiver<Session>,
    scheduler: SchedulerServiceClient<Channel>,
    own_certificate: Vec<u8>,
}

impl Thief {
    fn new(cluster: &Cluster) -> Self {
        let files = cluster.pki.as_ref().unwrap().role("worker", "thief");
        let own_certificate = read_certificates(&fs::read(&files.cert).unwrap()).unwrap().remove(0).to_vec();
        let tls = loaded(files);
        let runtime = Runtime::new().unwrap();
        let (sender, sessions) = mpsc::channel(16);
        let (address, scheduler) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let incoming = server::grpc(Listener::new(listener, 100), Security::new(Some(tls.clone())));
            let server = Server::builder().add_service(AgentServiceServer::new(Gateway(sender)));
            tokio::spawn(server.serve_with_incoming(incoming));
            let endpoint = Endpoint::from_shared(format!("https://{}", cluster.schedulers[0].0)).unwrap();
            let channel = endpoint.connect_with_connector_lazy(mtls::connector(tls, Role::Scheduler));
            (address, SchedulerServiceClient::new(channel))
        });
        Self { runtime, address, sessions, scheduler, own_certificate }
    }

    fn beat(&mut self) {
        let beat = HeartbeatRequest { worker_id: THIEF.into(), capacity: 100, ..Default::default() };
        wait_for("a heartbeat", || self.runtime.block_on(self.scheduler.heartbeat(beat.clone())).ok());
    }

    /// Waits for this many agents, ordered by desktop, and reports their connections to the
    /// schedulers.
    fn attached(&mut self, agents: usize) -> Vec<Session> {
        let mut sessions: Vec<Session> = self.runtime.block_on(async {
            let mut sessions = Vec::new();
            for _ in 0..agents {
                sessions.push(self.sessions.recv().await.unwrap());
            }
            sessions
        });
        sessions.sort_by(|one, other| one.desktop.desktop_id.cmp(&other.desktop.desktop_id));
        let connected = sessions.iter().map(|session| Desktop {
            connected_at_unix_ms: Utc::now().timestamp_millis(),
            ..session.desktop.clone()
        });
        let update = UpdatePresenceRequest {
            worker_id: THIEF.into(),
            connected: connected.collect(),
            disconnected: Vec::new(),
        };
        self.runtime.block_on(self.scheduler.update_presence(update)).unwrap();
        sessions
    }

    /// Returns the batch that the scheduler dispatches to the worker.
    fn pull(&mut self) -> PullResponse {
        let request = PullRequest { worker_id: THIEF.into(), capacity: 100, wait_ms: 500 };
        wait_for("a batch", || {
            self.beat();
            let answer = self.runtime.block_on(self.scheduler.pull(request.clone())).unwrap().into_inner();
            (!answer.batches.is_empty()).then_some(answer)
        })
    }
}

/// Builds the orders of a response with one batch, as an honest worker does.
fn orders(answer: &PullResponse) -> (Vec<Order>, Vec<u8>) {
    let signature = answer.signature.clone().unwrap();
    let tree = tree(answer).unwrap();
    let [batch] = answer.batches.as_slice() else { panic!("not one batch: {answer:?}") };
    let order = |(index, target): (u32, &proto::scheduler::Target)| Order {
        key: Some(key(batch, target.ordinal)),
        scripts: scripts(answer, batch),
        signed: Some(Signed {
            batch: batch.signed_terms.clone(),
            target: target.signed_terms.clone(),
            index,
            size: tree.size(),
            path: tree.path(index).unwrap().iter().map(|hash| hash.to_vec()).collect(),
            signature: signature.signature.clone(),
            certificate_sha256: sha256(&signature.certificate).to_vec(),
        }),
        ..Order::default()
    };
    ((0..).zip(&batch.targets).map(order).collect(), signature.certificate)
}

/// Returns the scripts of a batch.
fn scripts(answer: &PullResponse, batch: &Batch) -> Vec<Script> {
    let indexes = batch.spec.clone().unwrap().script_indexes;
    indexes.iter().map(|index| answer.scripts[*index as usize].clone()).collect()
}

fn key(batch: &Batch, ordinal: u32) -> ExecutionKey {
    ExecutionKey { task_id: batch.task_id.clone(), ordinal, attempt: batch.spec.clone().unwrap().attempt }
}

fn changed(order: &Order, change: impl FnOnce(&mut Order, &mut Signed)) -> Order {
    let mut order = order.clone();
    let mut signed = order.signed.take().unwrap();
    change(&mut order, &mut signed);
    Order { signed: Some(signed), ..order }
}

fn marks(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Starts a cluster whose two desktops are connected to the stolen worker.
fn stolen(cluster: &Cluster) -> (Thief, Vec<Process>, Vec<Session>) {
    let mut thief = Thief::new(cluster);
    let pki = cluster.pki.as_ref().unwrap();
    thief.beat();
    let agent = |number| {
        let files = pki.desktop(PROJECT, &desktop(number));
        cluster.agent_of(number, Some(&files), [thief.address.clone()])
    };
    let agents = (0..2).map(agent).collect();
    let sessions = thief.attached(2);
    cluster.api.connected(2);
    (thief, agents, sessions)
}

#[test]
fn stolen_worker_starts_only_ordered_scripts_and_once() {
    let cluster = Cluster::start_with_tls();
    let (mut thief, _agents, mut sessions) = stolen(&cluster);
    let path = cluster.directory.path().join("marks");
    let leaves =
        |word: &str| format!("echo {word} $GRAYWAVE_DESKTOP_ID $GRAYWAVE_WAVE >> {}", path.display());
    let task = cluster.api.run(&leaves("ordered"), &[desktop(0), desktop(1)], json!({}));
    let (genuine, certificate) = orders(&thief.pull());
    assert_eq!(genuine.len(), 2);
    let evil = Script { content: leaves("evil"), script_type: "SHELL".into(), ..Script::default() };
    let own = thief.own_certificate.clone();
    let session = &mut sessions[0];
    thief.runtime.block_on(async {
        session.say(Message::Signer(Signer { certificate })).await;
        let unsigned = Order { signed: None, scripts: vec![evil.clone()], ..genuine[0].clone() };
        session.refuses(unsigned, "the order is not signed").await;
        let another_script = Order { scripts: vec![evil.clone()], ..genuine[0].clone() };
        session.refuses(another_script, "script 0 differs from the signed one").await;
        session.refuses(genuine[1].clone(), "signed for another desktop").await;
        let later = changed(&genuine[0], |_, signed| {
            let mut terms = BatchTerms::decode(signed.batch.as_slice()).unwrap();
            terms.deliver_by_unix_ms += 3_600_000;
            signed.batch = terms.encode_to_vec();
        });
        session.refuses(later, "signature is not valid").await;
        // A valid certificate of the same CA without the role signer.
        session.say(Message::Signer(Signer { certificate: own.clone() })).await;
        let by_itself = changed(&genuine[0], |_, signed| signed.certificate_sha256 = sha256(&own).to_vec());
        session.refuses(by_itself, "graywave://role/worker/thief does not have the role signer").await;
        let never_shown = changed(&genuine[0], |_, signed| signed.certificate_sha256 = vec![7; 32]);
        session.refuses(never_shown, "was not received").await;
    });
    assert_eq!(marks(&path), Vec::<String>::new());
    // Refused orders under its key do not block the genuine order. Unsigned fields beside the
    // signed ones have no effect.
    let dressed_up = Order { wave: 7, execution_timeout_ms: 1, ..genuine[0].clone() };
    let result = thief.runtime.block_on(session.order(dressed_up));
    assert_eq!(result.scripts[0].outcome, "SUCCESS", "{result:?}");
    let ran = [format!("ordered {} 1", desktop(0))];
    assert_eq!(marks(&path), ran);
    let acked = result.key.unwrap();
    assert_eq!(acked.task_id, task);
    thief.runtime.block_on(async {
        let again = session.order(genuine[0].clone()).await;
        assert_eq!(again.scripts[0].outcome, "SUCCESS");
        session.say(Message::Ack(ResultAck { key: Some(acked) })).await;
        let again = session.order(genuine[0].clone()).await;
        assert_eq!(again.scripts[0].outcome, "SUCCESS", "the journal repeats the result after the end");
        let forged = Order { signed: None, scripts: vec![evil], ..genuine[0].clone() };
        assert_eq!(
            session.order(forged).await.scripts[0].outcome,
            "SUCCESS",
            "the forged order does not change the result"
        );
    });
    assert_eq!(marks(&path), ran, "once");
}

#[test]
fn order_withheld_by_stolen_worker_expires_at_its_deadline() {
    let cluster = Cluster::start_with_tls();
    let (mut thief, _agents, mut sessions) = stolen(&cluster);
    let path = cluster.directory.path().join("marks");
    let rollout = json!({"rollout": {"delivery_timeout_seconds": 1}});
    cluster.api.run(&format!("echo late >> {}", path.display()), &[desktop(0)], rollout);
    let (genuine, certificate) = orders(&thief.pull());
    let terms = BatchTerms::decode(genuine[0].signed.as_ref().unwrap().batch.as_slice()).unwrap();
    let deadline = DateTime::from_timestamp_millis(terms.deliver_by_unix_ms).unwrap();
    wait_for("the deadline", || (Utc::now() > deadline + chrono::TimeDelta::milliseconds(100)).then_some(()));
    thief.runtime.block_on(async {
        sessions[0].say(Message::Signer(Signer { certificate })).await;
        let kept_back = Order { deliver_by_unix_ms: i64::MAX, ..genuine[0].clone() };
        sessions[0].refuses(kept_back, "the delivery deadline passed").await;
    });
    assert_eq!(marks(&path), Vec::<String>::new());
}
