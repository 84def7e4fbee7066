use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use domain::schema::SCHEMA_VERSION;
use futures::stream::BoxStream;
use proto::scheduler::{
    DeregisterRequest, DeregisterResponse, EnrolRequest, EnrolResponse, HeartbeatRequest, HeartbeatResponse,
    PullRequest, PullResponse, RenewCertificateRequest, RenewCertificateResponse, RenewRequest,
    RenewResponse, ReportOutputRequest, ReportOutputResponse, ReportRequest, ReportResponse,
    UpdatePresenceRequest, UpdatePresenceResponse, WatchStopsRequest, WatchStopsResponse,
    scheduler_service_server::{SchedulerService, SchedulerServiceServer},
};
use tokio::{
    io::copy_bidirectional,
    net::TcpListener,
    sync::{oneshot, watch},
    time::timeout,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::*;
use crate::{Config, Ready, heartbeat, state::Worker};

/// Scheduler that answers each call at once and counts heartbeats. Its stream of stops stays open
/// and silent.
#[derive(Clone)]
struct FakeScheduler {
    heartbeats: Arc<AtomicUsize>,
    /// Version that it reports; `None` fails each heartbeat, as without a database.
    schema_version: watch::Sender<Option<u32>>,
}

impl Default for FakeScheduler {
    fn default() -> Self {
        Self { heartbeats: Arc::default(), schema_version: watch::Sender::new(Some(SCHEMA_VERSION)) }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SchedulerService for FakeScheduler {
    type WatchStopsStream = BoxStream<'static, Result<WatchStopsResponse, Status>>;

    async fn watch_stops(&self, _: Request<WatchStopsRequest>) -> Answer<Self::WatchStopsStream> {
        Ok(Response::new(Box::pin(futures::stream::pending())))
    }

    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Answer<HeartbeatResponse> {
        self.heartbeats.fetch_add(1, Ordering::SeqCst);
        let schema_version = self
            .schema_version
            .borrow()
            .ok_or_else(|| Status::unavailable("the database does not answer"))?;
        Ok(Response::new(HeartbeatResponse {
            interval_ms: 20,
            schema_version: Some(schema_version),
            ..HeartbeatResponse::default()
        }))
    }

    async fn update_presence(&self, _: Request<UpdatePresenceRequest>) -> Answer<UpdatePresenceResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn pull(&self, _: Request<PullRequest>) -> Answer<PullResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn report(&self, _: Request<ReportRequest>) -> Answer<ReportResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn report_output(&self, _: Request<ReportOutputRequest>) -> Answer<ReportOutputResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Answer<RenewResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn enrol(&self, _: Request<EnrolRequest>) -> Answer<EnrolResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn renew_certificate(
        &self,
        _: Request<RenewCertificateRequest>,
    ) -> Answer<RenewCertificateResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn deregister(&self, _: Request<DeregisterRequest>) -> Answer<DeregisterResponse> {
        Ok(Response::new(Default::default()))
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn serve(scheduler: FakeScheduler) -> String {
    let (listener, url) = listener().await;
    let server = Server::builder().add_service(SchedulerServiceServer::new(scheduler));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    url
}

/// Suspended scheduler: the kernel accepts connections, but no call is answered.
async fn hung() -> String {
    let (listener, url) = listener().await;
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    url
}

/// Calls until ten consecutive calls have succeeded.
async fn ten_in_a_row<F: Future<Output = Result<(), Status>>>(name: &str, call: impl Fn(Client) -> F) {
    let urls = [hung().await, serve(FakeScheduler::default()).await];
    let client = connect(&urls, None).unwrap();
    let calls = async {
        let mut successes = 0;
        while successes < 10 {
            successes = if call(client.clone()).await.is_ok() { successes + 1 } else { 0 };
        }
    };
    assert!(timeout(Duration::from_secs(8), calls).await.is_ok(), "{name} keeps going to the hung scheduler");
}

#[tokio::test]
async fn heartbeats_pass_a_hung_scheduler() {
    let scheduler = FakeScheduler::default();
    let urls = [hung().await, serve(scheduler.clone()).await];
    let client = connect(&urls, None).unwrap();
    let worker = Worker::new(Config::default(), String::new(), None);
    let ready = Ready::default();
    let beats = async {
        while scheduler.heartbeats.load(Ordering::SeqCst) < 30 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = heartbeat::run(&worker, client, &ready) => {}
        arrived = timeout(Duration::from_secs(6), beats) => {
            assert!(arrived.is_ok(), "{:?} heartbeats in 6 seconds", scheduler.heartbeats);
        }
    }
}

impl FakeScheduler {
    /// Waits for further heartbeats: the worker has handled the answer to the first of them.
    async fn answer_more(&self) {
        let before = self.heartbeats.load(Ordering::SeqCst);
        while self.heartbeats.load(Ordering::SeqCst) < before + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn worker_waits_for_its_schema_and_then_stays_ready() {
    let scheduler = FakeScheduler::default();
    scheduler.schema_version.send_replace(Some(0));
    let client = connect(&[serve(scheduler.clone()).await], None).unwrap();
    let (worker, ready) = (Worker::new(Config::default(), String::new(), None), Ready::default());
    assert!(ready.check().unwrap_err().contains("no scheduler answers"));
    let steps = async {
        scheduler.answer_more().await;
        assert!(ready.check().unwrap_err().contains("has no schema that fits"));
        scheduler.schema_version.send_replace(Some(SCHEMA_VERSION));
        scheduler.answer_more().await;
        assert_eq!(ready.check(), Ok(()));
        scheduler.schema_version.send_replace(None);
        scheduler.answer_more().await;
        assert_eq!(ready.check(), Ok(()), "it does not follow the schedulers");
        worker.start_draining();
        scheduler.answer_more().await;
        assert_eq!(ready.check(), Err("the worker drains".to_owned()));
    };
    tokio::select! {
        () = heartbeat::run(&worker, client, &ready) => {}
        done = timeout(Duration::from_secs(20), steps) => done.unwrap(),
    }
}

#[tokio::test]
async fn every_call_passes_a_hung_scheduler() {
    let presence = ten_in_a_row("presence", async |mut client| {
        client.update_presence(with_deadline(UpdatePresenceRequest::default(), CALL_TIMEOUT)).await.map(drop)
    });
    let report = ten_in_a_row("report", async |mut client| {
        client.report(with_deadline(ReportRequest::default(), CALL_TIMEOUT)).await.map(drop)
    });
    let renew = ten_in_a_row("renew", async |mut client| {
        client.renew(with_deadline(RenewRequest::default(), CALL_TIMEOUT)).await.map(drop)
    });
    let pull = ten_in_a_row("pull", async |mut client| {
        client.pull(with_deadline(PullRequest::default(), Duration::from_secs(30))).await.map(drop)
    });
    let stops = ten_in_a_row("stops", async |mut client| {
        let request = answer_begins_within(WatchStopsRequest::default(), CALL_TIMEOUT);
        client.watch_stops(request).await.map(drop)
    });
    tokio::join!(presence, report, renew, pull, stops);
}

#[tokio::test]
async fn stream_on_a_silent_connection_breaks_soon() {
    let target = serve(FakeScheduler::default()).await.replace("http://", "");
    let (listener, url) = listener().await;
    let (freeze, frozen) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            _ = frozen => std::future::pending().await,
        }
    });
    let mut client = connect(&[url], None).unwrap();
    let mut stops = client.watch_stops(WatchStopsRequest::default()).await.unwrap().into_inner();
    freeze.send(()).unwrap();
    let ended = timeout(Duration::from_secs(8), stops.message()).await;
    assert!(matches!(ended, Ok(Err(_))), "the stream stayed open: {ended:?}");
}
