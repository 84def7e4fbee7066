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

use crate::{END, ENDED, Files, STOP, platform::Event};

/// Maximum number of connections. A further one closes the oldest: an agent that was killed leaves
/// none open.
const MAX_CONNECTIONS: usize = 4;

/// Socket in the run directory, and its connections. The first one is standard input, if the agent
/// passed a socket there.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    connections: Vec<UnixStream>,
    has_ended: bool,
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
            .chain(self.connections.iter().map(|connection| connection.as_fd()))
    }

    /// Accepts connections and reads requests; returns the last request.
    pub(super) fn read(&mut self) -> Option<Event> {
        while let Ok((connection, _)) = self.listener.accept() {
            // A failed connection is the agent's to repeat.
            drop(self.add(connection));
        }
        let mut event = None;
        self.connections.retain_mut(|connection| {
            let mut bytes = [0; 16];
            match connection.read(&mut bytes) {
                Ok(0) => false,
                Ok(count) => {
                    let mut requests = bytes.iter().take(count).filter_map(|byte| request(*byte));
                    event = requests.next_back().or_else(|| event.take());
                    true
                }
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            }
        });
        event
    }

    /// Announces the result on all connections, also on later ones.
    pub(super) fn announce_end(&mut self) {
        self.has_ended = true;
        // An agent that does not read finds the result by itself.
        self.connections.retain_mut(|connection| connection.write_all(&[ENDED]).is_ok());
    }

    fn add(&mut self, mut connection: UnixStream) -> io::Result<()> {
        connection.set_nonblocking(true)?;
        if self.has_ended {
            connection.write_all(&[ENDED])?;
        }
        if self.connections.len() == MAX_CONNECTIONS {
            self.connections.remove(0);
        }
        self.connections.push(connection);
        Ok(())
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
