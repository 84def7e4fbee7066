//! Local requests to a running agent, over a socket that its data directory names.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    data_dir::set_aside,
    platform::{LocalListener, connect_local},
};

/// Requests: to stop, and to end running scripts before.
const STOP: u8 = b's';
const STOP_NOW: u8 = b'n';
/// Time limit of a local client for its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that an agent has to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves local requests until the agent stops. Without the socket the agent works too, so a
/// failure is only logged. The open connections close with the agent.
pub(crate) async fn serve(data_dir: PathBuf, stop: CancellationToken, end_scripts: CancellationToken) {
    let mut listener = match LocalListener::bind(&data_dir, set_aside) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "creating the control socket failed; `graywave-agent stop` will not work");
            return std::future::pending().await;
        }
    };
    let mut clients = Vec::new();
    loop {
        let mut client = match listener.accept().await {
            Ok(client) => client,
            Err(error) => {
                // Without free descriptors, for example: the next call fails at once too.
                tracing::debug!(%error, "accepting a local request failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match timeout(REQUEST_TIMEOUT, client.read_u8()).await {
            Ok(Ok(STOP)) => stop.cancel(),
            Ok(Ok(STOP_NOW)) => {
                end_scripts.cancel();
                stop.cancel();
            }
            _ => continue,
        }
        tracing::info!("stop requested over the control socket");
        clients.push(client);
    }
}

/// Asks the agent of a data directory to stop, and waits for its end. With `now`, it ends running
/// scripts before; otherwise they go on.
///
/// # Errors
///
/// When no agent runs there, or it has not stopped within a minute.
pub async fn stop_agent(data_dir: &Path, now: bool) -> io::Result<()> {
    let mut agent = connect_local(data_dir).await?;
    agent.write_all(&[if now { STOP_NOW } else { STOP }]).await?;
    match timeout(STOP_TIMEOUT, agent.read_u8()).await {
        // The end of the connection is the end of the agent.
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the agent has not stopped within 60 s")),
    }
}
