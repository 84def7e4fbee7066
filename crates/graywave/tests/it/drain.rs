//! A worker that an operator drains: its desktops go, nothing is handed to it, and it works again when it is told to.

use std::str::FromStr as _;

use proto::admin::{
    DrainWorkerRequest, ListWorkersRequest, UndrainWorkerRequest, Worker,
    worker_service_client::WorkerServiceClient,
};
use serde_json::json;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use crate::harness::{Dev, directory, wait_for};

struct Operator {
    runtime: Runtime,
    workers: WorkerServiceClient<Channel>,
    token: String,
}

impl Operator {
    fn new(dev: &Dev) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("http://{}", dev.ready["grpc"].as_str().unwrap());
        let channel = runtime.block_on(async { Endpoint::from_str(&url).unwrap().connect().await.unwrap() });
        Self { runtime, workers: WorkerServiceClient::new(channel), token: dev.api.token.clone() }
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let bearer = format!("Bearer {}", self.token);
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        request
    }

    /// The one worker that there is.
    fn worker(&mut self) -> Worker {
        let call = self.request(ListWorkersRequest {});
        let answer = self.runtime.block_on(self.workers.list_workers(call)).unwrap();
        answer.into_inner().workers.pop().unwrap()
    }

    fn drain(&mut self, worker_id: String) {
        let call = self.request(DrainWorkerRequest { worker_id });
        self.runtime.block_on(self.workers.drain_worker(call)).unwrap();
    }

    fn undrain(&mut self, worker_id: String) {
        let call = self.request(UndrainWorkerRequest { worker_id });
        self.runtime.block_on(self.workers.undrain_worker(call)).unwrap();
    }
}

#[test]
fn a_drained_worker_ends_what_runs_takes_nothing_new_and_works_again() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let desktops = dev.api.connected(2);
    let mut operator = Operator::new(&dev);
    let worker_id = operator.worker().worker_id;

    let gate = directory.path().join("go");
    let waits = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let running = dev.api.run(&waits, &desktops[..1], json!({}));
    wait_for("the script's start", || (dev.api.task(&running)["status"] == "RUNNING").then_some(()));
    let is_leased = |api: &crate::harness::Api| api.records(&running)[0]["status"] == "RUNNING";
    wait_for("the script on its desktop", || is_leased(&dev.api).then_some(()));
    operator.drain(worker_id.clone());
    // The idle one goes; the other one ends what it runs first.
    wait_for("the idle desktop to go", || (operator.worker().desktops == 1).then_some(()));
    let next = dev.api.run("true", &desktops, json!({}));
    std::fs::write(&gate, "").unwrap();
    assert_eq!(dev.api.ended(&running)["status"], "SUCCESS");
    wait_for("the last desktop to go", || (operator.worker().desktops == 0).then_some(()));
    assert!(operator.worker().draining);
    assert!(dev.api.task(&next)["end_time"].is_null());

    operator.undrain(worker_id);
    assert_eq!(dev.api.ended(&next)["status"], "SUCCESS");
    assert!(!operator.worker().draining);
}
