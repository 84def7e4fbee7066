//! Unix sockets of runners and of the agent. The length of a socket's path is limited, so paths go
//! through an open directory.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net,
    },
    path::Path,
    process::Stdio,
};

use runner::{Files, RunDir};
use rustix::fs::{Mode, OFlags, open};
use tokio::net::{UnixListener, UnixStream};

/// Connection to a runner, or to an agent on this machine.
pub(crate) type ControlStream = UnixStream;

/// File in the data directory: the socket for local requests.
const FILE: &str = "control";

/// Connection to a runner that is not started yet, and the runner's end as its standard input. Call
/// it in a runtime.
pub(crate) fn control_pair() -> io::Result<(ControlStream, Stdio)> {
    let (control, passed) = net::UnixStream::pair()?;
    control.set_nonblocking(true)?;
    Ok((UnixStream::from_std(control)?, OwnedFd::from(passed).into()))
}

/// Connects to the runner of a run.
pub(crate) async fn connect(run_dir: &RunDir) -> io::Result<ControlStream> {
    let (_dir, path) = short_path(run_dir.path(), Files::SOCKET)?;
    UnixStream::connect(path).await
}

/// Connects to the agent of a data directory.
pub(crate) async fn connect_local(data_dir: &Path) -> io::Result<ControlStream> {
    let (_dir, path) = short_path(data_dir, FILE)?;
    UnixStream::connect(path).await
}

/// Accepts local requests to the agent.
#[derive(Debug)]
pub(crate) struct LocalListener(UnixListener);

impl LocalListener {
    /// Listens in a data directory. `set_aside` moves away what is in the place of the socket and
    /// cannot be removed.
    pub(crate) fn bind(data_dir: &Path, set_aside: impl Fn(&Path) -> io::Result<()>) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => set_aside(&path)?,
            _ => {}
        }
        let (_dir, short) = short_path(data_dir, FILE)?;
        Ok(Self(UnixListener::bind(short)?))
    }

    pub(crate) async fn accept(&mut self) -> io::Result<ControlStream> {
        Ok(self.0.accept().await?.0)
    }
}

/// A short path of a socket. Valid while the descriptor is open.
fn short_path(dir: &Path, file: &str) -> io::Result<(OwnedFd, String)> {
    let dir = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{file}", dir.as_raw_fd());
    Ok((dir, path))
}
