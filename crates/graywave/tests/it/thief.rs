//! A stolen worker: a valid certificate of the role worker, a server for agents and a client of a
//! scheduler, both over the real protocol.

use std::fs;

use chrono::Utc;
use mtls::{Role, read_certificates};
use proto::{
    agent::{
        AttachRequest, AttachResponse, ExecutionKey, Order, OrderResult, Welcome,
        agent_service_server::{AgentService, AgentServiceServer},
        attach_request,
        attach_response::Message,
    },
    order::Signed,
    order_signing::{sha256, tree},
    scheduler::{
        Batch, HeartbeatRequest, PullRequest, PullResponse, ReportRequest, ReportResponse, TargetResult,
        UpdatePresenceRequest, UpdatePresenceResponse, scheduler_service_client::SchedulerServiceClient,
    },
    types::{Desktop, Script, Time},
};
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

const RUN: &str = "0198f0000000700080000000000000ab";

/// An attached agent.
pub(crate) struct Attached {
    pub(crate) desktop: Desktop,
    to_agent: mpsc::Sender<Result<AttachResponse, Status>>,
    from_agent: Streaming<AttachRequest>,
}

struct Gateway {
    worker_id: String,
    attached: mpsc::Sender<Attached>,
}

#[tonic::async_trait]
impl AgentService for Gateway {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut from_agent = request.into_inner();
        let (to_agent, outbound) = mpsc::channel(16);
        let (sessions, worker_id) = (self.attached.clone(), self.worker_id.clone());
        tokio::spawn(async move {
            let hello = from_agent.message().await.unwrap().unwrap().message;
            let Some(attach_request::Message::Hello(hello)) = hello else { panic!("no hello") };
            let attached = Attached { desktop: hello.desktop.unwrap(), to_agent, from_agent };
            let time = Some(Time { now_unix_ms: Utc::now().timestamp_millis(), error_ms: 1 });
            attached.say(Message::Welcome(Welcome { worker_id, time })).await;
            sessions.send(attached).await.unwrap();
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

impl Attached {
    pub(crate) async fn say(&self, message: Message) {
        self.to_agent.send(Ok(AttachResponse { message: Some(message) })).await.unwrap();
    }

    /// Returns the agent's next result.
    pub(crate) async fn result(&mut self) -> OrderResult {
        loop {
            if let Some(attach_request::Message::Result(result)) =
                self.from_agent.message().await.unwrap().unwrap().message
            {
                return result;
            }
        }
    }

    /// Sends an order and returns the agent's result.
    pub(crate) async fn order(&mut self, order: Order) -> OrderResult {
        self.say(Message::Order(order)).await;
        self.result().await
    }

    /// Asserts that an order is rejected with a reason that contains `why`.
    pub(crate) async fn refuses(&mut self, order: Order, why: &str) {
        let result = self.order(order).await;
        let script = &result.scripts[0];
        assert_eq!(script.outcome, "REJECTED", "{result:?}");
        assert!(script.reason.contains(why), "{}", script.reason);
    }
}

/// The stolen worker.
pub(crate) struct Thief {
    pub(crate) runtime: Runtime,
    pub(crate) worker_id: String,
    pub(crate) address: String,
    attached: mpsc::Receiver<Attached>,
    scheduler: SchedulerServiceClient<Channel>,
    pub(crate) own_certificate: Vec<u8>,
}

impl Thief {
    /// A stolen worker with a certificate for this name.
    pub(crate) fn new(cluster: &Cluster, name: &str) -> Self {
        let files = cluster.pki.as_ref().unwrap().role("worker", name);
        let own_certificate = read_certificates(&fs::read(&files.cert).unwrap()).unwrap().remove(0).to_vec();
        let tls = loaded(files);
        let runtime = Runtime::new().unwrap();
        let (sender, attached) = mpsc::channel(16);
        let worker_id = format!("worker-{name}-{RUN}");
        let gateway = Gateway { worker_id: worker_id.clone(), attached: sender };
        let (address, scheduler) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let incoming = server::grpc(Listener::new(listener, 100), Security::new(Some(tls.clone())));
            let server = Server::builder().add_service(AgentServiceServer::new(gateway));
            tokio::spawn(server.serve_with_incoming(incoming));
            let endpoint = Endpoint::from_shared(format!("https://{}", cluster.schedulers[0].0)).unwrap();
            let channel = endpoint.connect_with_connector_lazy(mtls::connector(tls, Role::Scheduler));
            (address, SchedulerServiceClient::new(channel))
        });
        let mut thief = Self { runtime, worker_id, address, attached, scheduler, own_certificate };
        thief.beat();
        thief
    }

    pub(crate) fn beat(&mut self) {
        let worker_id = self.worker_id.clone();
        let beat = HeartbeatRequest { worker_id, capacity: 100, ..Default::default() };
        wait_for("a heartbeat", || self.runtime.block_on(self.scheduler.heartbeat(beat.clone())).ok());
    }

    /// Waits for this many agents, ordered by desktop.
    pub(crate) fn wait_for_agents(&mut self, agents: usize) -> Vec<Attached> {
        let mut all: Vec<Attached> = self.runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..agents {
                all.push(self.attached.recv().await.unwrap());
            }
            all
        });
        all.sort_by(|one, other| one.desktop.desktop_id.cmp(&other.desktop.desktop_id));
        all
    }

    /// Reports that these desktops are connected.
    pub(crate) fn claim(&mut self, connected: Vec<Desktop>) -> UpdatePresenceResponse {
        self.beat();
        let now = Utc::now().timestamp_millis();
        let connected = connected.into_iter().map(|desktop| Desktop { connected_at_unix_ms: now, ..desktop });
        let update = UpdatePresenceRequest {
            worker_id: self.worker_id.clone(),
            connected: connected.collect(),
            disconnected: Vec::new(),
        };
        self.runtime.block_on(self.scheduler.update_presence(update)).unwrap().into_inner()
    }

    /// Waits for this many agents, ordered by desktop, reports their connections, and passes the
    /// answers on.
    pub(crate) fn attached(&mut self, agents: usize) -> Vec<Attached> {
        let all = self.wait_for_agents(agents);
        let answer = self.claim(all.iter().map(|attached| attached.desktop.clone()).collect());
        assert_eq!((answer.refused.len(), answer.sessions.len()), (0, agents), "{answer:?}");
        for answered in answer.sessions {
            let key = answered.desktop.unwrap();
            let of_desktop = all.iter().find(|attached| attached.desktop.desktop_id == key.desktop_id);
            let session = Message::Session(answered.session.unwrap());
            self.runtime.block_on(of_desktop.unwrap().say(session));
        }
        all
    }

    /// Returns the batch that the scheduler dispatches to the worker.
    pub(crate) fn pull(&mut self) -> PullResponse {
        let request = PullRequest {
            worker_id: self.worker_id.clone(),
            capacity: 100,
            wait_ms: 500,
            ..PullRequest::default()
        };
        wait_for("a batch", || {
            self.beat();
            let answer = self.runtime.block_on(self.scheduler.pull(request.clone())).unwrap().into_inner();
            (!answer.batches.is_empty()).then_some(answer)
        })
    }

    /// Reports results.
    pub(crate) fn report(&mut self, results: Vec<TargetResult>) -> ReportResponse {
        self.beat();
        let request = ReportRequest { worker_id: self.worker_id.clone(), results, ..Default::default() };
        self.runtime.block_on(self.scheduler.report(request)).unwrap().into_inner()
    }
}

/// Builds the orders of a response with one batch, as an honest worker does.
pub(crate) fn orders(answer: &PullResponse) -> (Vec<Order>, Vec<u8>) {
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

/// Starts an agent that connects to this worker only.
pub(crate) fn agent_of(cluster: &Cluster, thief: &Thief, number: usize) -> Process {
    let files = cluster.pki.as_ref().unwrap().desktop(PROJECT, &desktop(number));
    cluster.agent_of(number, Some(&files), [thief.address.clone()])
}

/// Starts a stolen worker to which the first two desktops are connected.
pub(crate) fn stolen(cluster: &Cluster) -> (Thief, Vec<Process>, Vec<Attached>) {
    let mut thief = Thief::new(cluster, "thief");
    let agents = (0..2).map(|number| agent_of(cluster, &thief, number)).collect();
    let attached = thief.attached(2);
    cluster.api.connected(2);
    (thief, agents, attached)
}
