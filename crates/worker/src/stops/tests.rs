use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use proto::{
    scheduler::{
        Batch, DeregisterRequest, DeregisterResponse, DesktopKey, EnrolRequest, EnrolResponse,
        HeartbeatRequest, HeartbeatResponse, PullRequest, PullResponse, RenewCertificateRequest,
        RenewCertificateResponse, RenewRequest, RenewResponse, ReportOutputRequest, ReportOutputResponse,
        ReportRequest, ReportResponse, Target, TaskSpec, UpdatePresenceRequest, UpdatePresenceResponse,
        WatchStopsResponse,
        scheduler_service_server::{SchedulerService, SchedulerServiceServer},
    },
    types::Desktop,
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, transport::Server};

use super::*;
use crate::{
    Config, dispatch,
    in_flight::InFlightTarget,
    outbox::{self, Outbox},
    scheduler,
};

const TASK: &str = "t";

fn worker() -> Arc<Worker> {
    Arc::new(Worker::new(Config::default(), String::new(), None))
}

fn desktop(id: &str) -> DesktopKey {
    DesktopKey { project_id: "p".into(), desktop_id: id.into() }
}

/// Connects an agent whose channel holds `room` messages before the first is read.
fn attach(worker: &Worker, id: &str, room: usize) -> Outbox {
    let (to_agent, outbox) = outbox::channel(room);
    worker.registry.connect(desktop(id), Desktop::default(), to_agent).unwrap();
    worker.registry.is_known(&desktop(id), &Desktop::default());
    outbox
}

async fn hand_out(worker: &Worker, targets: Vec<Target>) {
    let spec = TaskSpec { project_id: "p".into(), attempt: 3, ..TaskSpec::default() };
    let batch =
        Batch { task_id: TASK.into(), batch_id: "b".into(), targets, spec: Some(spec), ..Batch::default() };
    dispatch::dispatch(worker, batch, &[], None).await;
}

fn target(ordinal: u32, desktop_id: &str) -> Target {
    Target { ordinal, desktop_id: desktop_id.into(), ..Target::default() }
}

fn key(ordinal: u32) -> ExecutionKey {
    ExecutionKey { task_id: TASK.into(), ordinal, attempt: 3 }
}

fn stop(ordinal: u32, script: u32) -> TargetStop {
    TargetStop { task_id: TASK.into(), ordinal, attempt: 3, script }
}

fn message(response: Result<AttachResponse, Status>) -> Message {
    response.unwrap().message.unwrap()
}

/// Next message, which must already be queued.
#[track_caller]
fn next(outbox: &mut Outbox) -> Message {
    message(outbox.try_recv().unwrap())
}

fn stop_order(ordinal: u32, script: u32) -> Message {
    Message::Stop(StopOrder { key: Some(key(ordinal)), script })
}

#[tokio::test]
async fn an_order_says_which_scripts_are_done_already() {
    let worker = worker();
    let mut outbox = attach(&worker, "d", 2);
    hand_out(&worker, vec![Target { first_script: 2, ..target(0, "d") }]).await;
    let Message::Order(order) = next(&mut outbox) else { panic!("not an order") };
    assert_eq!((order.key, order.first_script), (Some(key(0)), 2));
}

#[tokio::test]
async fn a_stop_follows_its_order_as_often_as_it_is_told() {
    let worker = worker();
    let mut outbox = attach(&worker, "d", 9);
    hand_out(&worker, vec![target(0, "d")]).await;
    for script in [2, 2, 1] {
        pass_on(&worker, stop(0, script));
    }
    assert!(matches!(next(&mut outbox), Message::Order(_)));
    for script in [2, 2, 1] {
        assert_eq!(next(&mut outbox), stop_order(0, script));
    }
}

#[tokio::test]
async fn what_is_not_in_hand_is_not_stopped() {
    let worker = worker();
    let mut outbox = attach(&worker, "d", 9);
    hand_out(&worker, vec![target(0, "d"), target(1, "elsewhere")]).await;
    pass_on(&worker, stop(1, 0));
    pass_on(&worker, TargetStop { attempt: 2, ..stop(0, 0) });
    pass_on(&worker, TargetStop { task_id: "other".into(), ..stop(0, 0) });
    assert!(matches!(next(&mut outbox), Message::Order(_)));
    worker.in_flight.release([&key(0)]);
    pass_on(&worker, stop(0, 0));
    assert!(outbox.try_recv().is_err());
}

#[tokio::test]
async fn a_full_channel_costs_a_round_and_nobody_else_anything() {
    let worker = worker();
    let (mut full, mut free) = (attach(&worker, "full", 1), attach(&worker, "free", 2));
    hand_out(&worker, vec![target(0, "full"), target(1, "free")]).await;
    let round = || [stop(0, 0), stop(1, 0)].into_iter().for_each(|stop| pass_on(&worker, stop));
    round();
    assert!(matches!(next(&mut free), Message::Order(_)));
    assert_eq!(next(&mut free), stop_order(1, 0));
    assert!(matches!(next(&mut full), Message::Order(_)));
    assert!(full.try_recv().is_err());
    round();
    assert_eq!(next(&mut full), stop_order(0, 0));
}

#[tokio::test]
async fn another_connection_of_the_desktop_is_not_told() {
    let worker = worker();
    let _older = attach(&worker, "d", 9);
    let (session, _) = worker.registry.find(&desktop("d")).unwrap();
    let mut newer = attach(&worker, "d", 9);
    let held = InFlightTarget { batch_id: "b".into(), desktop: desktop("d"), session };
    worker.in_flight.hold(key(0), held);
    pass_on(&worker, stop(0, 0));
    assert!(newer.try_recv().is_err());
}

/// Test's end of one `WatchStops` stream, which ends when this is dropped.
struct Watch {
    worker_id: String,
    stops: mpsc::Sender<Result<WatchStopsResponse, Status>>,
}

struct FakeScheduler {
    watches: mpsc::Sender<Watch>,
}

fn none_of_it<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only WatchStops is implemented"))
}

#[tonic::async_trait]
impl SchedulerService for FakeScheduler {
    type WatchStopsStream = BoxStream<'static, Result<WatchStopsResponse, Status>>;

    async fn watch_stops(
        &self,
        request: Request<WatchStopsRequest>,
    ) -> Result<Response<Self::WatchStopsStream>, Status> {
        let (stops, stream) = mpsc::channel(1);
        let watch = Watch { worker_id: request.into_inner().worker_id, stops };
        self.watches.send(watch).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        none_of_it()
    }

    async fn update_presence(
        &self,
        _: Request<UpdatePresenceRequest>,
    ) -> Result<Response<UpdatePresenceResponse>, Status> {
        none_of_it()
    }

    async fn pull(&self, _: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        none_of_it()
    }

    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        none_of_it()
    }

    async fn report_output(
        &self,
        _: Request<ReportOutputRequest>,
    ) -> Result<Response<ReportOutputResponse>, Status> {
        none_of_it()
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        none_of_it()
    }

    async fn enrol(&self, _: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        none_of_it()
    }

    async fn renew_certificate(
        &self,
        _: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        none_of_it()
    }

    async fn deregister(
        &self,
        _: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        none_of_it()
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("timed out after 30 seconds")
}

#[tokio::test]
async fn stop_stream_reopens_after_an_end_and_during_a_drain() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut watches) = mpsc::channel(4);
    let server =
        Server::builder().add_service(SchedulerServiceServer::new(FakeScheduler { watches: sender }));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let worker = worker();
    let mut outbox = attach(&worker, "d", 9);
    hand_out(&worker, vec![target(0, "d")]).await;
    assert!(matches!(next(&mut outbox), Message::Order(_)));
    let (of_worker, client) = (Arc::clone(&worker), scheduler::connect(&[url], None).unwrap());
    let running = tokio::spawn(async move { run(&of_worker, client).await });
    for round in 0..3 {
        let watch = soon(watches.recv()).await.unwrap();
        assert_eq!(watch.worker_id, worker.worker_id);
        let stops = vec![stop(7, 0), stop(0, round)];
        watch.stops.send(Ok(WatchStopsResponse { stops, ..Default::default() })).await.unwrap();
        assert_eq!(message(soon(outbox.recv()).await.unwrap()), stop_order(0, round));
        if round == 0 {
            worker.start_draining();
            watch.stops.send(Err(Status::unavailable("broken"))).await.unwrap();
        }
    }
    running.abort();
}
