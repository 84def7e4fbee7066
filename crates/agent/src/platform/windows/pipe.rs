//! Named pipes of runners and of the agent, for the system, administrators and the agent's user. A
//! file in a private directory has the name of a pipe.

use std::{
    fs::{self, File},
    io,
    os::windows::fs::OpenOptionsExt as _,
    path::Path,
    pin::{Pin, pin},
    process::Stdio,
    task::{Context, Poll, Waker},
};

use runner::{Files, RunDir};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer},
};
use win32::pipe::{Instance, create_private};

/// File in the data directory: the name of the pipe for local requests.
const FILE: &str = "control";
/// `FILE_FLAG_OVERLAPPED`: reads and writes at the same time.
const OVERLAPPED: u32 = 0x4000_0000;

/// Connection to a runner, or to an agent on this machine.
#[derive(Debug)]
pub(crate) enum ControlStream {
    Client(NamedPipeClient),
    Server(NamedPipeServer),
}

impl ControlStream {
    /// Waits until there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Client(pipe) => pipe.readable().await,
            Self::Server(pipe) => pipe.readable().await,
        }
    }
}

impl AsyncRead for ControlStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Self::Server(pipe) => Pin::new(pipe).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Self::Server(pipe) => Pin::new(pipe).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_flush(cx),
            Self::Server(pipe) => Pin::new(pipe).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Client(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Self::Server(pipe) => Pin::new(pipe).poll_shutdown(cx),
        }
    }
}

fn new_name() -> String {
    format!(r"\\.\pipe\graywave-agent-{:032x}", rand::random::<u128>())
}

/// Connection to a runner that is not started yet, and the runner's end as its standard input. Call
/// it in a runtime.
pub(crate) fn control_pair() -> io::Result<(ControlStream, Stdio)> {
    let name = new_name();
    let server = create_private(&name, Instance::Only)?;
    let passed = File::options().read(true).write(true).custom_flags(OVERLAPPED).open(&name)?;
    take_connection(&server)?;
    Ok((ControlStream::Server(server), passed.into()))
}

/// Takes the connection of a client that has connected already, without a wait. Otherwise the
/// server would never read.
fn take_connection(server: &NamedPipeServer) -> io::Result<()> {
    match pin!(server.connect()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(connected) => connected,
        Poll::Pending => Err(io::Error::other("another process has connected and left")),
    }
}

/// Connects to the runner of a run.
pub(crate) async fn connect(run_dir: &RunDir) -> io::Result<ControlStream> {
    connect_to(&run_dir.file(Files::SOCKET)).await
}

/// Connects to the agent of a data directory.
pub(crate) async fn connect_local(data_dir: &Path) -> io::Result<ControlStream> {
    connect_to(&data_dir.join(FILE)).await
}

async fn connect_to(file: &Path) -> io::Result<ControlStream> {
    let name = fs::read_to_string(file)?;
    Ok(ControlStream::Client(ClientOptions::new().open(name)?))
}

/// Accepts local requests to the agent.
#[derive(Debug)]
pub(crate) struct LocalListener {
    name: String,
    next: NamedPipeServer,
}

impl LocalListener {
    /// Listens, and writes the name into a data directory. `set_aside` moves away what is in the
    /// place of the file and cannot be replaced.
    pub(crate) fn bind(data_dir: &Path, set_aside: impl Fn(&Path) -> io::Result<()>) -> io::Result<Self> {
        let (name, path) = (new_name(), data_dir.join(FILE));
        let next = create_private(&name, Instance::First)?;
        if fs::write(&path, &name).is_err() {
            set_aside(&path)?;
            fs::write(&path, &name)?;
        }
        Ok(Self { name, next })
    }

    pub(crate) async fn accept(&mut self) -> io::Result<ControlStream> {
        let connected = self.next.connect().await;
        // An instance whose client left at once is of no more use.
        let next = create_private(&self.name, Instance::Next)?;
        let server = std::mem::replace(&mut self.next, next);
        connected.map(|()| ControlStream::Server(server))
    }
}
