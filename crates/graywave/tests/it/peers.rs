//! Peers that break the protocol, on every listener: they are refused without affecting other
//! peers.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    time::Duration,
};

use proto::{
    agent::{AttachRequest, Hello, agent_service_client::AgentServiceClient, attach_request},
    scheduler::{
        HeartbeatRequest, ReportRequest, TargetResult, UpdatePresenceRequest,
        scheduler_service_client::SchedulerServiceClient,
    },
    types::{Desktop, ScriptResult},
};
use serde_json::json;
use tonic::{Code, Status};

use crate::harness::{Dev, Process, agent_binary, directory, wait_for};

/// Longer than any response may take, and much shorter than a test may.
const TIMEOUT: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn text(dev: &Dev, key: &str) -> String {
    dev.ready[key].as_str().unwrap().to_owned()
}

fn listeners(dev: &Dev) -> [String; 3] {
    [text(dev, "http").trim_start_matches("http://").to_owned(), text(dev, "grpc"), text(dev, "agents")]
}

/// Asserts that the cluster still works.
fn works(dev: &Dev) {
    let desktops = dev.api.connected(2);
    let task = dev.api.run("true", &desktops, json!({}));
    assert_eq!(dev.api.ended(&task)["success_num"], 2);
}

#[test]
fn garbage_ends_its_own_connection_and_nothing_else() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    let noise: Vec<u8> =
        (0..100_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for address in listeners(&dev) {
        for begins in [b"".as_slice(), b"\r\n\r\n", b"GET / HTTP/9.9\r\n", preface] {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            // The peer may close the connection during the write.
            drop(stream.write_all(begins).and_then(|()| stream.write_all(&noise)));
            drop(stream.shutdown(Shutdown::Write));
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            let is_closed = !read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(is_closed, "{address} does not close the connection");
        }
    }
    works(&dev);
}

#[test]
fn a_message_that_is_too_large_is_refused() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let [http, grpc, agents] = listeners(&dev);
    runtime().block_on(async {
        let mut scheduler = SchedulerServiceClient::connect(format!("http://{grpc}")).await.unwrap();
        let worker_id = "x".repeat(20 << 20);
        let status =
            scheduler.heartbeat(HeartbeatRequest { worker_id, ..Default::default() }).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
        let desktop =
            Desktop { computer_name: "x".repeat(5 << 20), ..claimed(&dev, "desktop-9999", "stranger") };
        assert_eq!(attach(&agents, desktop).await.unwrap_err().code(), Code::OutOfRange);
    });
    let mut stream = TcpStream::connect(&http).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let head = format!(
        "POST /v2/{}/scripts HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000000000\r\n\r\n",
        text(&dev, "project_id"),
        text(&dev, "token")
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    works(&dev);
}

fn claimed(dev: &Dev, desktop_id: &str, agent_id: &str) -> Desktop {
    Desktop {
        project_id: text(dev, "project_id"),
        desktop_id: desktop_id.to_owned(),
        agent_id: agent_id.to_owned(),
        ..Desktop::default()
    }
}

/// Attaches and returns the worker's reply to the hello.
async fn attach(agents: &str, desktop: Desktop) -> Result<(), Status> {
    let mut client = AgentServiceClient::connect(format!("http://{agents}")).await.unwrap();
    let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
    let requests = tokio_stream::iter([AttachRequest { message: Some(hello) }]);
    let mut answers = client.attach(requests).await?.into_inner();
    let answer = tokio::time::timeout(TIMEOUT, answers.message()).await.unwrap()?;
    assert!(answer.is_some(), "the stream ended without a reply");
    Ok(())
}

#[test]
fn an_agent_that_claims_a_connected_desktop_gets_nothing_of_it() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let desktops = dev.api.connected(2);
    let agents = text(&dev, "agents");
    let status = runtime().block_on(attach(&agents, claimed(&dev, &desktops[0], "stranger"))).unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.message().contains("desktop id and a data directory of its own"), "{status}");
    // A complete agent under that id retries repeatedly and runs nothing.
    let log = directory.path().join("stranger.log");
    let mut command = Command::new(agent_binary());
    command.args(["--project", &text(&dev, "project_id"), "--desktop-id", &desktops[0]]);
    command
        .args(["--worker", &format!("http://{agents}"), "--data-dir"])
        .arg(directory.path().join("stranger"));
    let _stranger = Process::spawn(&mut command, &log);
    wait_for("a second refusal", || {
        let refusals = fs::read_to_string(&log).ok()?.matches("another machine is connected").count();
        (refusals >= 2).then_some(())
    });
    let data = directory.path().join("data");
    let task =
        dev.api.run("pwd -P > /dev/null; cat /proc/$PPID/cmdline | tr '\\0' ' '", &desktops, json!({}));
    assert_eq!(dev.api.ended(&task)["success_num"], 2);
    for record in dev.api.records(&task) {
        let parent = dev.api.output(&record)["output"].as_str().unwrap().to_owned();
        assert!(parent.contains(data.to_str().unwrap()), "run by {parent}");
    }
}

#[test]
fn a_worker_that_reports_what_it_does_not_hold_is_refused() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let desktops = dev.api.connected(2);
    let (up, gate) = (directory.path().join("up"), directory.path().join("gate"));
    let command = format!("echo >> {}; until [ -e {} ]; do sleep 0.05; done", up.display(), gate.display());
    let task = dev.api.run(&command, &desktops, json!({"gray_count": 2}));
    wait_for("two starts", || (fs::read_to_string(&up).ok()?.lines().count() == 2).then_some(()));
    runtime().block_on(async {
        let mut scheduler =
            SchedulerServiceClient::connect(format!("http://{}", text(&dev, "grpc"))).await.unwrap();
        let unknown = UpdatePresenceRequest { worker_id: "stranger".into(), ..Default::default() };
        assert_eq!(scheduler.update_presence(unknown).await.unwrap_err().code(), Code::FailedPrecondition);
        let heartbeat = HeartbeatRequest { worker_id: "stranger".into(), capacity: 1, ..Default::default() };
        scheduler.heartbeat(heartbeat).await.unwrap();
        // The attacker knows the target's id, but does not belong to its project.
        let result = TargetResult {
            task_id: task.clone(),
            ordinal: 0,
            attempt: 1,
            project_id: text(&dev, "project_id"),
            desktop_id: "desktop-9999".into(),
            scripts: vec![ScriptResult { outcome: "FAILED".into(), ..Default::default() }],
            ..Default::default()
        };
        let foreign = TargetResult { project_id: "another".into(), ..result.clone() };
        let results = vec![result, foreign];
        let report = ReportRequest { worker_id: "stranger".into(), results, ..Default::default() };
        let answer = scheduler.report(report).await.unwrap().into_inner();
        assert_eq!((answer.stored, answer.refused.len()), (0, 2), "{answer:?}");
    });
    fs::write(&gate, "").unwrap();
    let ended = dev.api.ended(&task);
    assert_eq!((&ended["status"], &ended["failed_num"]), (&json!("SUCCESS"), &json!(0)));
}
