//! `graywave healthcheck`: asks the role on this machine whether it is ready. For container probes
//! in images without an HTTP client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use axum::http::HeaderValue;
use clap::Args;
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::health::{HealthRole, ROLE_HEADER};
use crate::address::loopback;

/// Timeout of the check, similar to that of usual probes.
const WITHIN: Duration = Duration::from_secs(2);
/// Maximum size of the response body. A reason is one line.
const MAX_REASON_BYTES: usize = 1_000;

/// Check whether the local role is ready
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the address of telemetry.health_listen or telemetry.listen, by default 127.0.0.1:9100. \
With ROLE, fails if another role answers there.

Example:
  graywave healthcheck scheduler")]
pub(crate) struct HealthcheckArgs {
    /// Role that must answer [default: any]
    #[arg(value_enum, value_name = "ROLE")]
    role: Option<HealthRole>,
}

/// Fails unless the role that serves metrics and health on `listen` is ready, and is the named one.
pub(crate) async fn run(arguments: HealthcheckArgs, listen: &str) -> anyhow::Result<()> {
    let address = loopback(parse(listen)?);
    let asked = tokio::time::timeout(WITHIN, ask(address, arguments.role)).await;
    asked.with_context(|| format!("{address} does not answer in {} s", WITHIN.as_secs()))?
}

fn parse(listen: &str) -> anyhow::Result<SocketAddr> {
    listen.parse().with_context(|| {
        format!("invalid telemetry.listen or telemetry.health_listen {listen:?}: expected HOST:PORT, like 127.0.0.1:9100")
    })
}

async fn ask(address: SocketAddr, expected: Option<HealthRole>) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header("host", address.to_string()).body(String::new())?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        check_role(address, expected, response.headers().get(ROLE_HEADER))?;
        let body =
            axum::body::to_bytes(axum::body::Body::new(response.into_body()), MAX_REASON_BYTES).await?;
        if !status.is_success() {
            bail!("not ready: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(())
    };
    tokio::select! {
        answered = asking => answered,
        ended = connection => { ended?; bail!("{address} closed the connection") }
    }
}

/// Refuses the answer of another role, or of a server that is not Graywave.
fn check_role(
    address: SocketAddr,
    expected: Option<HealthRole>,
    answering: Option<&HeaderValue>,
) -> anyhow::Result<()> {
    let answering = answering.and_then(|role| role.to_str().ok());
    match (answering, expected) {
        (None, _) => bail!("{address} is not a role of Graywave: check telemetry.listen"),
        (Some(role), Some(expected)) if role != expected.name() => {
            bail!("{address} is the {role}, not the {expected}: give each role its own telemetry.listen")
        }
        (Some(_), _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_of_another_role_is_refused() {
        let check = |expected: Option<HealthRole>, answering: Option<&'static str>| {
            let answering = answering.map(HeaderValue::from_static);
            let checked = check_role(([127, 0, 0, 1], 9100).into(), expected, answering.as_ref());
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(Some(HealthRole::Worker), Some("worker")), Ok(()));
        assert_eq!(check(None, Some("api")), Ok(()));
        assert_eq!(
            check(Some(HealthRole::Worker), Some("api")),
            Err("127.0.0.1:9100 is the api, not the worker: give each role its own telemetry.listen".into())
        );
        assert!(check(None, None).unwrap_err().contains("not a role of Graywave"));
    }

    #[test]
    fn address_that_is_not_valid_names_its_setting() {
        assert!(parse("metrics").unwrap_err().to_string().contains("telemetry.listen"));
    }
}
