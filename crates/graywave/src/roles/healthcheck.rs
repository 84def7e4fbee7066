//! `graywave healthcheck`: asks the role on this machine whether it is ready. For container probes
//! in images without an HTTP client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Timeout of the check, similar to that of usual probes.
const WITHIN: Duration = Duration::from_secs(2);
/// Maximum size of the response body. A reason is one line.
const MAX_REASON_BYTES: usize = 1_000;

/// Fails unless the role that serves metrics and health on `listen` is ready.
pub(crate) async fn run(listen: &str) -> anyhow::Result<()> {
    let address = from_this_machine(listen)?;
    let asked = tokio::time::timeout(WITHIN, ask(address)).await;
    asked.with_context(|| format!("{address} does not answer in {} s", WITHIN.as_secs()))?
}

/// Replaces an unspecified address by the loopback address.
fn from_this_machine(listen: &str) -> anyhow::Result<SocketAddr> {
    let mut address: SocketAddr = listen.parse().with_context(|| {
        format!("invalid telemetry.listen or telemetry.health_listen {listen:?}: expected HOST:PORT, like 127.0.0.1:9100")
    })?;
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    Ok(address)
}

async fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header("host", address.to_string()).body(String::new())?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_asked_from_its_own_machine() {
        for (listen, asked) in [
            ("0.0.0.0:9100", "127.0.0.1:9100"),
            ("[::]:9100", "[::1]:9100"),
            ("127.0.0.3:1", "127.0.0.3:1"),
            ("10.1.2.3:9", "10.1.2.3:9"),
        ] {
            assert_eq!(from_this_machine(listen).unwrap(), asked.parse().unwrap());
        }
        assert!(from_this_machine("metrics").unwrap_err().to_string().contains("telemetry.listen"));
    }
}
