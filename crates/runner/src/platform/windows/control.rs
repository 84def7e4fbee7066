//! Connections of agents to the runner, on a named pipe.

use std::{
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::{self, Write},
    os::windows::io::AsHandle as _,
    path::Path,
    sync::mpsc::SyncSender,
    thread,
    time::Duration,
};

use win32::pipe::{Pipe, PipeListener, is_pipe};

use crate::{Event, Files, Output, connections::Connections};

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Connections of agents. The first one is standard input, if the agent passed a pipe there.
#[derive(Debug)]
pub(super) struct Control {
    connections: Connections<Connected>,
}

/// Connection that a thread reads.
#[derive(Debug)]
pub(super) struct Connected {
    /// Name among the connections of this runner.
    number: u64,
    pipe: Pipe,
}

/// Message of a thread to the runner.
#[derive(Debug)]
pub(super) enum Message {
    Event(Event),
    Output(Vec<u8>),
    Connected(Connected),
    Received(Received),
}

/// What a thread received on a connection: no bytes at its end.
#[derive(Debug)]
pub(super) struct Received {
    number: u64,
    bytes: Vec<u8>,
}

impl Write for Connected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Control {
    /// Creates the pipe, writes its name into the run directory, and accepts connections on
    /// threads.
    ///
    /// The name has a random part, and only the agent can read the directory: no other process can
    /// create a pipe of this name before.
    pub(super) fn bind(run_dir: &Path, id: &str, sender: &SyncSender<Message>) -> io::Result<Self> {
        let mut control = Self { connections: Connections::new() };
        if let Some(pipe) = passed_by_agent()? {
            control.add(begin(0, pipe, sender.clone())?);
        }
        let number = RandomState::new().build_hasher().finish();
        let name = format!(r"\\.\pipe\graywave-{id}-{number:016x}");
        let mut listener = PipeListener::bind(&name)?;
        fs::write(run_dir.join(Files::SOCKET), &name)?;
        let sender = sender.clone();
        thread::Builder::new().name("accept".to_owned()).spawn(move || {
            for number in 1.. {
                let Ok(pipe) = listener.accept() else {
                    // Without free handles, for example.
                    thread::sleep(ACCEPT_PAUSE);
                    continue;
                };
                // A failed connection is the agent's to repeat.
                let Ok(connected) = begin(number, pipe, sender.clone()) else { continue };
                if sender.send(Message::Connected(connected)).is_err() {
                    return;
                }
            }
        })?;
        Ok(control)
    }

    /// Adds a connection. A failed one is the agent's to repeat.
    pub(super) fn add(&mut self, connected: Connected) {
        drop(self.connections.add(connected));
    }

    /// Takes received bytes and sends requested output; returns the last other request.
    pub(super) fn receive(&mut self, received: Received, output: &Output) -> Option<Event> {
        let mut bytes = Some(received.bytes);
        let read = |it: &mut Connected| if it.number == received.number { bytes.take() } else { None };
        self.connections.read(read, output)
    }

    /// Sends the rest of the output to the connections that have requested output.
    pub(super) fn send_rest(&mut self, output: &Output) {
        self.connections.send_rest(output);
    }

    /// Announces the result on all connections, also on later ones.
    pub(super) fn announce_end(&mut self) {
        self.connections.announce_end();
    }
}

/// Starts the thread that reads a connection.
fn begin(number: u64, pipe: Pipe, sender: SyncSender<Message>) -> io::Result<Connected> {
    let reader = pipe.try_clone()?;
    thread::Builder::new().name("connection".to_owned()).spawn(move || {
        loop {
            let mut bytes = [0; 64];
            let count = reader.read(&mut bytes).unwrap_or_default();
            let bytes = bytes.get(..count).unwrap_or_default().to_vec();
            let message = Message::Received(Received { number, bytes });
            if sender.send(message).is_err() || count == 0 {
                return;
            }
        }
    })?;
    Ok(Connected { number, pipe })
}

fn passed_by_agent() -> io::Result<Option<Pipe>> {
    let stdin = io::stdin();
    let handle = stdin.as_handle();
    if !is_pipe(handle) {
        return Ok(None);
    }
    Ok(Some(handle.try_clone_to_owned()?.into()))
}
