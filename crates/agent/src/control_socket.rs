//! Local requests to a running agent, over a socket that its data directory names.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    data_dir::set_aside,
    platform::{ControlStream, LocalListener, connect_local, notify_status},
};

/// Requests: to stop, and to end running scripts before.
const STOP: u8 = b's';
const STOP_NOW: u8 = b'n';
/// Request for a restart; a number of seconds follows, as four bytes, big-endian.
const RESTART: u8 = b'r';
/// Answers to the request for a restart.
const RESTARTS_NOW: u8 = b'n';
const RESTARTS_LATER: u8 = b'l';
const NOT_SUPERVISED: u8 = b'u';

/// Time limit of a local client for its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that an agent has to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which a pending restart looks for the end of the orders.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// Handles with which local requests change the agent.
pub(crate) struct Requests<F> {
    /// Stops the agent.
    pub(crate) stop: CancellationToken,
    /// Ends running scripts.
    pub(crate) end_scripts: CancellationToken,
    /// Whether an order is queued or runs.
    pub(crate) is_active: F,
    /// Whether a service manager starts the agent again after its end.
    pub(crate) is_supervised: bool,
}

/// Answer of an agent to the request for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// No order ran, or the time was over: the agent has ended, and its service manager starts the
    /// installed version.
    Now,
    /// Orders run: the agent restarts after them, or at the end of the time.
    Later,
    /// No service manager would start the agent again, so it runs on.
    NotSupervised,
}

/// A restart that waits until no order is queued or runs.
#[derive(Debug, Default)]
struct PendingRestart {
    /// Latest time of the restart; `None` without a request.
    latest: Option<Instant>,
}

impl PendingRestart {
    /// Adds a request. The earliest of all times counts.
    fn request(&mut self, within: Duration, now: Instant) {
        let latest = now + within;
        self.latest = Some(self.latest.map_or(latest, |earlier| earlier.min(latest)));
    }

    fn is_due(&self, is_active: bool, now: Instant) -> bool {
        self.latest.is_some_and(|latest| !is_active || now >= latest)
    }

    /// Waits until the restart is due; forever without a request.
    async fn due(&self, is_active: impl Fn() -> bool) {
        if self.latest.is_none() {
            std::future::pending::<()>().await;
        }
        while !self.is_due(is_active(), Instant::now()) {
            sleep(IDLE_CHECK_INTERVAL).await;
        }
    }
}

/// Serves local requests until the agent stops. Without the socket the agent works too, so a
/// failure is only logged. The open connections close with the agent.
pub(crate) async fn serve(data_dir: PathBuf, requests: Requests<impl Fn() -> bool>) {
    let mut listener = match LocalListener::bind(&data_dir, set_aside) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "creating the control socket failed; `graywave-agent stop` will not work");
            return std::future::pending().await;
        }
    };
    let (mut clients, mut restart) = (Vec::new(), PendingRestart::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = restart.due(&requests.is_active) => {
                tracing::info!("restarting: a restart was requested over the control socket");
                requests.stop.cancel();
                return std::future::pending().await;
            }
        };
        let mut client = match accepted {
            Ok(client) => client,
            Err(error) => {
                // Without free descriptors, for example: the next call fails at once too.
                tracing::debug!(%error, "accepting a local request failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Ok(Ok(())) = timeout(REQUEST_TIMEOUT, handle(&mut client, &requests, &mut restart)).await {
            clients.push(client);
        }
    }
}

/// Handles one request. An error is one of the client.
async fn handle(
    client: &mut ControlStream,
    requests: &Requests<impl Fn() -> bool>,
    restart: &mut PendingRestart,
) -> io::Result<()> {
    match client.read_u8().await? {
        STOP => {}
        STOP_NOW => requests.end_scripts.cancel(),
        RESTART => {
            let within = Duration::from_secs(client.read_u32().await?.into());
            return client.write_u8(request_restart(within, requests, restart)).await;
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    tracing::info!("stop requested over the control socket");
    requests.stop.cancel();
    Ok(())
}

/// Requests a restart and returns the answer to the client.
fn request_restart(
    within: Duration,
    requests: &Requests<impl Fn() -> bool>,
    restart: &mut PendingRestart,
) -> u8 {
    if !requests.is_supervised {
        return NOT_SUPERVISED;
    }
    let now = Instant::now();
    restart.request(within, now);
    if restart.is_due((requests.is_active)(), now) {
        return RESTARTS_NOW;
    }
    tracing::info!(within_s = within.as_secs(), "a restart waits for the end of the running orders");
    notify_status("a restart waits for the end of the running orders");
    RESTARTS_LATER
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
    wait_for_end(&mut agent).await
}

/// Asks the agent of a data directory to restart once no order is queued or runs, at the latest
/// after `within`. Scripts that run then go on under their runners. If it restarts now, waits for
/// its end.
///
/// # Errors
///
/// When no agent runs there, it has a version without restarts, or it has not stopped within a
/// minute.
pub async fn restart_agent(data_dir: &Path, within: Duration) -> io::Result<Restart> {
    let mut agent = connect_local(data_dir).await?;
    agent.write_all(&[RESTART]).await?;
    agent.write_u32(u32::try_from(within.as_secs()).unwrap_or(u32::MAX)).await?;
    let answer = timeout(REQUEST_TIMEOUT, agent.read_u8()).await;
    match answer.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s"))?? {
        RESTARTS_NOW => wait_for_end(&mut agent).await.map(|()| Restart::Now),
        RESTARTS_LATER => Ok(Restart::Later),
        NOT_SUPERVISED => Ok(Restart::NotSupervised),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown answer {other}"))),
    }
}

/// Waits for the end of the connection, which is the end of the agent.
async fn wait_for_end(agent: &mut ControlStream) -> io::Result<()> {
    match timeout(STOP_TIMEOUT, agent.read_u8()).await {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the agent has not stopped within 60 s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_waits_for_orders_until_its_latest_time() {
        let (mut restart, now) = (PendingRestart::default(), Instant::now());
        assert!(!restart.is_due(false, now), "nothing is requested");
        restart.request(Duration::from_secs(60), now);
        assert!(restart.is_due(false, now), "no order runs");
        assert!(!restart.is_due(true, now + Duration::from_secs(59)));
        assert!(restart.is_due(true, now + Duration::from_secs(60)));
    }

    #[test]
    fn earliest_time_of_several_restarts_counts() {
        let (mut restart, now) = (PendingRestart::default(), Instant::now());
        for seconds in [60, 10, 600] {
            restart.request(Duration::from_secs(seconds), now);
        }
        assert!(!restart.is_due(true, now + Duration::from_secs(9)));
        assert!(restart.is_due(true, now + Duration::from_secs(10)));
    }
}
