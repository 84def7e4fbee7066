//! Local requests to a running agent, over a Unix socket in its data directory.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, OFlags, open};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::data_dir::set_aside;

const FILE: &str = "control";
/// Requests: to stop, and to end running scripts before.
const STOP: u8 = b's';
const STOP_NOW: u8 = b'n';
/// Time limit of a local client for its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that an agent has to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves local requests until the agent stops. Without the socket the agent works too, so a
/// failure is only logged. The open connections close with the agent.
pub(crate) async fn serve(data_dir: PathBuf, stop: CancellationToken, end_scripts: CancellationToken) {
    let listener = match bind(&data_dir) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "creating the control socket failed; `graywave-agent stop` will not work");
            return std::future::pending().await;
        }
    };
    let mut clients = Vec::new();
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
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
    let (_dir, path) = short_path(data_dir)?;
    let mut agent = UnixStream::connect(path).await?;
    agent.write_all(&[if now { STOP_NOW } else { STOP }]).await?;
    match timeout(STOP_TIMEOUT, agent.read_u8()).await {
        // The end of the connection is the end of the agent.
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the agent has not stopped within 60 s")),
    }
}

fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => set_aside(&path)?,
        _ => {}
    }
    let (_dir, short) = short_path(data_dir)?;
    UnixListener::bind(short)
}

/// A path of the socket that is short: the length of a socket's path is limited. Valid while the
/// descriptor is open.
fn short_path(data_dir: &Path) -> io::Result<(OwnedFd, String)> {
    let dir = open(data_dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{FILE}", dir.as_raw_fd());
    Ok((dir, path))
}
