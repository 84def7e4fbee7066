//! Drain of a worker: its desktops move, it receives no batches, and it works again after undrain.

use proto::admin::{
    DrainWorkerRequest, ListWorkersRequest, UndrainWorkerRequest, Worker,
    worker_service_client::WorkerServiceClient,
};
use serde_json::json;
use tonic::transport::Channel;

use crate::{
    harness::{Dev, directory, wait_for},
    operator::Operator,
};

fn workers(operator: &Operator) -> WorkerServiceClient<Channel> {
    WorkerServiceClient::new(operator.channel.clone())
}

/// Returns the only worker.
fn worker(operator: &Operator) -> Worker {
    let call = operator.request(ListWorkersRequest {});
    operator.answer(workers(operator).list_workers(call)).workers.pop().unwrap()
}

fn drain(operator: &Operator, worker_id: String) {
    let call = operator.request(DrainWorkerRequest { worker_id });
    operator.answer(workers(operator).drain_worker(call));
}

fn undrain(operator: &Operator, worker_id: String) {
    let call = operator.request(UndrainWorkerRequest { worker_id });
    operator.answer(workers(operator).undrain_worker(call));
}

#[test]
fn drained_worker_finishes_its_scripts_and_can_resume() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let desktops = dev.api.connected(2);
    let operator = Operator::new(&dev);
    let worker_id = worker(&operator).worker_id;

    let gate = directory.path().join("go");
    let waits = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let running = dev.api.run(&waits, &desktops[..1], json!({}));
    wait_for("the script's start", || (dev.api.task(&running)["status"] == "RUNNING").then_some(()));
    let is_leased = |api: &crate::harness::Api| api.records(&running)[0]["status"] == "RUNNING";
    wait_for("the script on its desktop", || is_leased(&dev.api).then_some(()));
    drain(&operator, worker_id.clone());
    // The idle desktop disconnects at once. The other one completes its script first.
    wait_for("the idle desktop to go", || (worker(&operator).desktops == 1).then_some(()));
    let next = dev.api.run("true", &desktops, json!({}));
    std::fs::write(&gate, "").unwrap();
    assert_eq!(dev.api.ended(&running)["status"], "SUCCESS");
    wait_for("the last desktop to go", || (worker(&operator).desktops == 0).then_some(()));
    assert!(worker(&operator).draining);
    assert!(dev.api.task(&next)["end_time"].is_null());

    undrain(&operator, worker_id);
    assert_eq!(dev.api.ended(&next)["status"], "SUCCESS");
    assert!(!worker(&operator).draining);
}
