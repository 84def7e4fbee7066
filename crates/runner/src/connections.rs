//! Connections of agents to the runner, on any kind of stream.

use std::io::{self, Write};

use crate::{END, ENDED, Event, Output, OutputReply, OutputRequest, STOP};

/// Maximum number of connections. A further one closes the oldest: an agent that was killed leaves
/// none open.
const MAX_CONNECTIONS: usize = 4;

/// Connections of agents, in the order of their begin.
#[derive(Debug)]
pub(crate) struct Connections<S> {
    list: Vec<Connection<S>>,
    has_ended: bool,
}

/// Connection of an agent.
#[derive(Debug)]
struct Connection<S> {
    stream: S,
    /// The beginning of a request for output.
    received: Vec<u8>,
    /// Position of the output that is requested and not sent.
    requested: Option<u64>,
    /// Position after the output that was sent; `None` if none was requested.
    sent_until: Option<u64>,
}

impl<S: Write> Connections<S> {
    pub(crate) fn new() -> Self {
        Self { list: Vec::new(), has_ended: false }
    }

    /// Streams of all connections.
    #[cfg_attr(windows, expect(dead_code, reason = "only Unix polls them"))]
    pub(crate) fn streams(&self) -> impl Iterator<Item = &S> {
        self.list.iter().map(|connection| &connection.stream)
    }

    /// Adds a connection, and announces a result that is in place.
    ///
    /// # Errors
    ///
    /// If the agent is gone. A failed connection is the agent's to repeat.
    pub(crate) fn add(&mut self, mut stream: S) -> io::Result<()> {
        if self.has_ended {
            stream.write_all(&[ENDED])?;
        }
        if self.list.len() == MAX_CONNECTIONS {
            self.list.remove(0);
        }
        self.list.push(Connection { stream, received: Vec::new(), requested: None, sent_until: None });
        Ok(())
    }

    /// Reads each connection with `read`, and sends requested output. `read` returns `None` if
    /// there is nothing, and no bytes at the end of the connection. Returns the last other request.
    pub(crate) fn read(
        &mut self,
        mut read: impl FnMut(&mut S) -> Option<Vec<u8>>,
        output: &Output,
    ) -> Option<Event> {
        let mut event = None;
        let has_ended = self.has_ended;
        self.list.retain_mut(|connection| match read(&mut connection.stream) {
            None => true,
            Some(bytes) if bytes.is_empty() => false,
            Some(bytes) => {
                let last = connection.take(&bytes);
                event = last.or_else(|| event.take());
                // The result has the output of a script that has ended.
                has_ended || connection.reply(output).is_ok()
            }
        });
        event
    }

    /// Sends the rest of the output to the connections that have requested output.
    pub(crate) fn send_rest(&mut self, output: &Output) {
        self.list.retain_mut(|connection| match connection.sent_until {
            Some(from) => connection.send_rest(output, from).is_ok(),
            None => true,
        });
    }

    /// Announces the result on all connections, also on later ones.
    pub(crate) fn announce_end(&mut self) {
        self.has_ended = true;
        // An agent that does not read finds the result by itself.
        self.list.retain_mut(|connection| connection.stream.write_all(&[ENDED]).is_ok());
    }
}

impl<S: Write> Connection<S> {
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
