//! Connections of agents to the runner, on Unix sockets.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use rustix::{fs::FileType, fs::fstat, io::fcntl_dupfd_cloexec, stdio::stdin};

use crate::{Event, Files, Output, connections::Connections};

/// Socket in the run directory, and its connections. The first one is standard input, if the agent
/// passed a socket there.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    connections: Connections<UnixStream>,
}

impl Control {
    /// Creates the socket in the working directory: the length of a socket's path is limited.
    pub(super) fn bind() -> io::Result<Self> {
        // Left by a runner that failed before its claim.
        drop(fs::remove_file(Files::SOCKET));
        let listener = UnixListener::bind(Files::SOCKET)?;
        listener.set_nonblocking(true)?;
        let mut control = Self { listener, connections: Connections::new() };
        if let Some(first) = passed_by_agent()? {
            control.add(first)?;
        }
        Ok(control)
    }

    /// Descriptors to poll: the listener first.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.listener.as_fd()].into_iter().chain(self.connections.streams().map(|stream| stream.as_fd()))
    }

    /// Accepts connections, reads requests and sends requested output; returns the last other
    /// request.
    pub(super) fn read(&mut self, output: &Output) -> Option<Event> {
        while let Ok((connection, _)) = self.listener.accept() {
            // A failed connection is the agent's to repeat.
            drop(self.add(connection));
        }
        self.connections.read(available, output)
    }

    /// Sends the rest of the output to the connections that have requested output.
    pub(super) fn send_rest(&mut self, output: &Output) {
        self.connections.send_rest(output);
    }

    /// Announces the result on all connections, also on later ones.
    pub(super) fn announce_end(&mut self) {
        self.connections.announce_end();
    }

    fn add(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.connections.add(stream)
    }
}

/// Reads once. `None` if there is nothing; no bytes at the end, or after an error.
fn available(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = [0; 64];
    match stream.read(&mut bytes) {
        Ok(count) => Some(bytes.get(..count).unwrap_or_default().to_vec()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
        Err(_) => Some(Vec::new()),
    }
}

fn passed_by_agent() -> io::Result<Option<UnixStream>> {
    let stdin = stdin();
    if FileType::from_raw_mode(fstat(stdin)?.st_mode) != FileType::Socket {
        return Ok(None);
    }
    Ok(Some(UnixStream::from(fcntl_dupfd_cloexec(stdin, 3)?)))
}
