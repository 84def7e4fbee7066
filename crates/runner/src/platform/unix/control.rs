//! Connections of agents to the runner.

use std::{
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use rustix::{fs::FileType, fs::fstat, io::fcntl_dupfd_cloexec, stdio::stdin};

use crate::{END, ENDED, Files, Output, OutputReply, OutputRequest, STOP, platform::Event};

/// Maximum number of connections. A further one closes the oldest: an agent that was killed leaves
/// none open.
const MAX_CONNECTIONS: usize = 4;

/// Socket in the run directory, and its connections. The first one is standard input, if the agent
/// passed a socket there.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    connections: Vec<Connection>,
    has_ended: bool,
}

/// Connection of an agent.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    /// The beginning of a request for output.
    received: Vec<u8>,
    /// Position of the output that is requested and not sent.
    requested: Option<u64>,
    /// Position after the output that was sent; `None` if none was requested.
    sent_until: Option<u64>,
}

impl Control {
    /// Creates the socket in the working directory: the length of a socket's path is limited.
    pub(super) fn bind() -> io::Result<Self> {
        // Left by a runner that failed before its claim.
        drop(fs::remove_file(Files::SOCKET));
        let listener = UnixListener::bind(Files::SOCKET)?;
        listener.set_nonblocking(true)?;
        let mut control = Self { listener, connections: Vec::new(), has_ended: false };
        if let Some(first) = passed_by_agent()? {
            control.add(first)?;
        }
        Ok(control)
    }

    /// Descriptors to poll: the listener first.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.listener.as_fd()]
            .into_iter()
            .chain(self.connections.iter().map(|connection| connection.stream.as_fd()))
    }

    /// Accepts connections, reads requests and sends requested output; returns the last other
    /// request.
    pub(super) fn read(&mut self, output: &Output) -> Option<Event> {
        while let Ok((connection, _)) = self.listener.accept() {
            // A failed connection is the agent's to repeat.
            drop(self.add(connection));
        }
        let mut event = None;
        let has_ended = self.has_ended;
        self.connections.retain_mut(|connection| {
            let mut bytes = [0; 64];
            match connection.stream.read(&mut bytes) {
                Ok(0) => false,
                Ok(count) => {
                    let last = connection.take(bytes.get(..count).unwrap_or_default());
                    event = last.or_else(|| event.take());
                    // The result has the output of a script that has ended.
                    has_ended || connection.reply(output).is_ok()
                }
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            }
        });
        event
    }

    /// Sends the rest of the output to the connections that have requested output.
    pub(super) fn send_rest(&mut self, output: &Output) {
        self.connections.retain_mut(|connection| match connection.sent_until {
            Some(from) => connection.send_rest(output, from).is_ok(),
            None => true,
        });
    }

    /// Announces the result on all connections, also on later ones.
    pub(super) fn announce_end(&mut self) {
        self.has_ended = true;
        // An agent that does not read finds the result by itself.
        self.connections.retain_mut(|connection| connection.stream.write_all(&[ENDED]).is_ok());
    }

    fn add(&mut self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        if self.has_ended {
            stream.write_all(&[ENDED])?;
        }
        if self.connections.len() == MAX_CONNECTIONS {
            self.connections.remove(0);
        }
        self.connections.push(Connection { stream, received: Vec::new(), requested: None, sent_until: None });
        Ok(())
    }
}

impl Connection {
    /// Takes received bytes; returns the last request for anything but output.
    fn take(&mut self, bytes: &[u8]) -> Option<Event> {
        let mut event = None;
        for byte in bytes {
            if !self.received.is_empty() || OutputRequest::begins_with(*byte) {
                self.received.push(*byte);
                if let Some(OutputRequest { from_offset }) = OutputRequest::take(&mut self.received) {
                    self.requested = Some(from_offset);
                }
            } else {
                event = request(*byte).or(event);
            }
        }
        event
    }

    /// Answers the last request for output, if there is one.
    fn reply(&mut self, output: &Output) -> io::Result<()> {
        let Some(from) = self.requested.take() else { return Ok(()) };
        let (offset, content) = output.read(from, OutputReply::MAX_BYTES);
        self.send(&OutputReply { offset, content, is_last: false })
    }

    /// Sends everything from an offset on.
    fn send_rest(&mut self, output: &Output, mut from: u64) -> io::Result<()> {
        loop {
            let (offset, content) = output.read(from, OutputReply::MAX_BYTES);
            from = offset + content.len() as u64;
            let is_last = from >= output.total();
            self.send(&OutputReply { offset, content, is_last })?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Sends output. An agent that does not read loses the connection: the runner never waits.
    fn send(&mut self, reply: &OutputReply) -> io::Result<()> {
        self.sent_until = Some(reply.offset + reply.content.len() as u64);
        self.stream.write_all(&reply.encode())
    }
}

fn request(byte: u8) -> Option<Event> {
    match byte {
        STOP => Some(Event::Stop),
        END => Some(Event::AgentEnds),
        _ => None,
    }
}

fn passed_by_agent() -> io::Result<Option<UnixStream>> {
    let stdin = stdin();
    if FileType::from_raw_mode(fstat(stdin)?.st_mode) != FileType::Socket {
        return Ok(None);
    }
    Ok(Some(UnixStream::from(fcntl_dupfd_cloexec(stdin, 3)?)))
}
