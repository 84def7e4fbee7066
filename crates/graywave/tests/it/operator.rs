//! Who calls the admin gRPC of a dev cluster.

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

    /// A request that carries the token.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let bearer = format!("Bearer {}", self.token);
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        request
    }

    /// The answer of a call, which must have one.
    pub(crate) fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> T {
        self.runtime.block_on(call).unwrap().into_inner()
    }
}
