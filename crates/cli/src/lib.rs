//! The operator's verbs over admin gRPC.

mod show;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use proto::admin::admin_service_client::AdminServiceClient;
pub use show::{ShowArguments, WorkersArguments, show, workers};
use tonic::transport::{Channel, Endpoint};

/// How long a connection or a call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the control plane is, and the credential for it.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Address of the gRPC admin service
    #[arg(long, env = "GRAYWAVE_GRPC", default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    grpc: String,
    /// Token of the project
    #[arg(long, env = "GRAYWAVE_TOKEN", hide_env_values = true)]
    token: String,
}

impl Connection {
    async fn client(&self) -> anyhow::Result<AdminServiceClient<Channel>> {
        let url = if self.grpc.contains("://") { self.grpc.clone() } else { format!("http://{}", self.grpc) };
        let channel = Endpoint::from_shared(url)?
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .connect()
            .await
            .with_context(|| format!("cannot reach the admin service at {}: is it running?", self.grpc))?;
        Ok(AdminServiceClient::new(channel))
    }

    fn request<T>(&self, message: T) -> anyhow::Result<tonic::Request<T>> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("x-auth-token", self.token.parse().context("the token is not ASCII")?);
        Ok(request)
    }
}

/// A failed call in words.
fn explain(status: tonic::Status) -> anyhow::Error {
    match status.message() {
        "" => anyhow::anyhow!("the call failed: {}", status.code()),
        message => anyhow::anyhow!("{message}"),
    }
}
