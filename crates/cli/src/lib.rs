//! The operator's verbs over admin gRPC.

mod show;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use identity::{FilesGiven, Role, Tls};
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
    /// Certificates of the CAs whose schedulers are trusted, where the admin service speaks TLS
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Certificate of the role admin
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_CERT_FILE")]
    cert_file: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_KEY_FILE")]
    key_file: Option<PathBuf>,
}

impl Connection {
    /// The way to the admin services.
    async fn channel(&self) -> anyhow::Result<Channel> {
        let tls = self.tls()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url =
            if self.grpc.contains("://") { self.grpc.clone() } else { format!("{scheme}://{}", self.grpc) };
        // The token would be read by whoever listens on the way.
        identity::check_url(&url, tls.is_some()).map_err(anyhow::Error::msg)?;
        let endpoint = Endpoint::from_shared(url)?.connect_timeout(PATIENCE).timeout(PATIENCE);
        let channel = match tls {
            Some(tls) => endpoint.connect_with_connector(identity::connector(tls, Role::Scheduler)).await,
            None => endpoint.connect().await,
        };
        channel.with_context(|| format!("cannot reach the admin service at {}: is it running?", self.grpc))
    }

    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let (ca_file, cert_file, key_file) =
            (self.ca_file.clone(), self.cert_file.clone(), self.key_file.clone());
        let files = FilesGiven { ca_file, cert_file, key_file }.all_or_none().map_err(anyhow::Error::msg)?;
        Ok(files.map(Tls::load).transpose()?)
    }

    fn request<T>(&self, message: T) -> anyhow::Result<tonic::Request<T>> {
        let mut request = tonic::Request::new(message);
        let bearer = format!("Bearer {}", self.token).parse().context("the token is not ASCII")?;
        request.metadata_mut().insert("authorization", bearer);
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
