//! Mutated messages for each gRPC listener of a running cluster.

use std::{fs, str::FromStr as _};

use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _},
};
use proto::{
    admin::{Command, ListRecordsRequest, PreviewTaskRequest, ScriptType, SubmitTaskRequest, TaskSpec},
    agent::{AttachRequest, Hello, OrderResult, attach_request},
    scheduler::{HeartbeatRequest, ReportRequest, TargetResult, UpdatePresenceRequest},
    types::{Desktop, ScriptResult},
};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use crate::harness::{Dev, directory};

/// Passes messages on as bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

const ADMIN: [&str; 9] = [
    "/graywave.admin.v1.TaskService/SubmitTask",
    "/graywave.admin.v1.TaskService/PreviewTask",
    "/graywave.admin.v1.TaskService/ListTasks",
    "/graywave.admin.v1.RecordService/ListRecords",
    "/graywave.admin.v1.InsightService/WhatIf",
    "/graywave.admin.v1.AccessService/PutPolicy",
    "/graywave.admin.v1.ScriptService/CreateScript",
    "/graywave.admin.v1.DesktopService/TagDesktop",
    "/graywave.admin.v1.AuditService/ListAudit",
];
const SCHEDULER: [&str; 6] = [
    "/graywave.scheduler.v1.SchedulerService/Heartbeat",
    "/graywave.scheduler.v1.SchedulerService/UpdatePresence",
    "/graywave.scheduler.v1.SchedulerService/Report",
    "/graywave.scheduler.v1.SchedulerService/Renew",
    "/graywave.scheduler.v1.SchedulerService/Enrol",
    "/graywave.scheduler.v1.SchedulerService/RenewCertificate",
];
const AGENT: [&str; 2] =
    ["/graywave.agent.v1.AgentService/Attach", "/graywave.agent.v1.EnrolmentService/Enrol"];

fn desktop() -> Desktop {
    Desktop {
        project_id: "dev".into(),
        desktop_id: "another".into(),
        computer_name: "pc".into(),
        os_type: "Linux".into(),
        agent_id: "a".into(),
        incarnation: 1,
        run_id: "r".into(),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        ..Desktop::default()
    }
}

fn samples() -> Vec<Vec<u8>> {
    let task = TaskSpec {
        desktop_ids: vec!["desktop-1".into(), "desktop-2".into()],
        command: Some(Command { command_type: ScriptType::Shell.into(), content: "true".into() }),
        ..TaskSpec::default()
    };
    let scripts =
        vec![ScriptResult { outcome: "SUCCESS".into(), exit_code: Some(0), ..ScriptResult::default() }];
    let result = TargetResult {
        task_id: "0190f5fe7c0a70008000000000000001".into(),
        attempt: 1,
        scripts: scripts.clone(),
        project_id: "dev".into(),
        desktop_id: "desktop-1".into(),
        ..TargetResult::default()
    };
    vec![
        SubmitTaskRequest { task: Some(task.clone()), idempotency_key: "k".into() }.encode_to_vec(),
        PreviewTaskRequest { task: Some(task), with_desktop_ids: true, without_guardrails: true }
            .encode_to_vec(),
        ListRecordsRequest { task_id: "0190f5fe7c0a70008000000000000001".into(), ..Default::default() }
            .encode_to_vec(),
        HeartbeatRequest { worker_id: "thief".into(), ..Default::default() }.encode_to_vec(),
        UpdatePresenceRequest { worker_id: "thief".into(), ..Default::default() }.encode_to_vec(),
        ReportRequest { worker_id: "thief".into(), results: vec![result], ..Default::default() }
            .encode_to_vec(),
        AttachRequest { message: Some(attach_request::Message::Hello(Hello { desktop: Some(desktop()) })) }
            .encode_to_vec(),
        OrderResult { scripts, ..Default::default() }.encode_to_vec(),
    ]
}

async fn call(channel: &Channel, method: &str, token: Option<&str>, input: &[u8]) -> Result<Vec<u8>, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(futures::stream::iter([input.to_vec()]));
    if let Some(token) = token {
        let value = MetadataValue::from_str(&format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let answer = client.streaming(request, PathAndQuery::from_str(method).unwrap(), Raw).await?;
    Ok(answer.into_inner().message().await?.unwrap_or_default())
}

/// Chooses a method by the input, so that the seed determines the whole call.
fn method(methods: &'static [&'static str], input: &[u8]) -> &'static str {
    let sum = input.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    methods.get(sum % methods.len()).unwrap()
}

/// Fuzzes the methods of one listener. No call may end the process or reach a panic.
fn fuzz(target: &str, methods: &'static [&'static str], address: fn(&Dev) -> String, with_token: bool) {
    let directory = directory();
    let data = directory.path().join("data");
    let dev = Dev::start(&data, 2, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let channel = runtime
        .block_on(Endpoint::from_shared(format!("http://{}", address(&dev))).unwrap().connect())
        .unwrap();
    let token = with_token.then_some(dev.api.token.as_str());
    testkit::fuzz(target, &samples(), |input| {
        let method = method(methods, input);
        let answer = runtime.block_on(async {
            let limit = std::time::Duration::from_secs(30);
            tokio::time::timeout(limit, call(&channel, method, token, input)).await
        });
        let answer = answer.expect("an answer within 30 s");
        if let Err(status) = answer {
            // A handler that panics ends its stream without a status of its own.
            assert!(status.code() != Code::Unknown, "{method}: {status:?}");
        }
    });
    let log = fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(dev.api.try_get("/scripts").unwrap().0, 200, "the cluster still answers");
}

fn grpc(dev: &Dev) -> String {
    dev.ready["grpc"].as_str().unwrap().to_owned()
}

fn agents(dev: &Dev) -> String {
    dev.ready["agents"].as_str().unwrap().to_owned()
}

#[test]
fn fuzz_admin_grpc() {
    fuzz("admin_grpc", &ADMIN, grpc, true);
}

#[test]
fn fuzz_scheduler_grpc() {
    fuzz("scheduler_grpc", &SCHEDULER, grpc, false);
}

#[test]
fn fuzz_agent_grpc() {
    fuzz("agent_grpc", &AGENT, agents, false);
}
