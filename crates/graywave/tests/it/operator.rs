//! A client of the admin service of a dev cluster.

use std::str::FromStr as _;

use tokio::runtime::Runtime;
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};

use crate::harness::Dev;

pub(crate) struct Operator {
    runtime: Runtime,
    pub(crate) channel: Channel,
    token: String,
}

impl Operator {
    pub(crate) fn new(dev: &Dev) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("http://{}", dev.ready["grpc"].as_str().unwrap());
        let channel = runtime.block_on(async { Endpoint::from_str(&url).unwrap().connect().await.unwrap() });
        Self { runtime, channel, token: dev.api.token.clone() }
    }

    /// Builds a request with the token.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let bearer = format!("Bearer {}", self.token);
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        request
    }

    /// Returns the response of a call, which must succeed.
    pub(crate) fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> T {
        self.runtime.block_on(call).unwrap().into_inner()
    }
}

#[test]
fn reflection_describes_what_is_served_and_nothing_else() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let directory = crate::harness::directory();
    let dev = Dev::start(&directory.path().join("data"), 1, &[]);
    let operator = Operator::new(&dev);
    let asked = |question| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let client = ServerReflectionClient::new(operator.channel.clone());
        let call = async move { { client }.server_reflection_info(tokio_stream::iter([request])).await };
        let mut answers = operator.answer(call);
        operator.runtime.block_on(answers.message()).unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(listed) = asked(MessageRequest::ListServices(String::new()))
    else {
        panic!("no list of services");
    };
    let mut names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    let others = [
        "graywave.scheduler.v1.SchedulerService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    assert_eq!(names, [&admin::SERVICES[..], &others].concat());
    // Clients that know only reflection can decode the error details.
    for name in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "graywave.admin.v1.TaskSpec"] {
        let answer = asked(MessageRequest::FileContainingSymbol(name.to_owned()));
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{name}: {answer:?}");
    }
}
