//! Windows: a child process and threads. Job objects, which contain the processes of a script, and
//! a named pipe for the agent are not used yet: only the script's own process is killed.

use std::{
    env,
    ffi::OsString,
    io::{self, Read as _, Write as _},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Claim, Containment, END, ENDED, End, LeftProcess, MARK, Output, STOP, Spec, platform::Event};

/// Size of one read.
const READ_BYTES: usize = 64 << 10;
/// Interval at which a thread looks for the end of the script.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Scripts are tracked by their own process.
pub fn contain_processes() -> Containment {
    Containment::Mark
}

/// Finds no runner: processes show no environment.
pub fn running_ids(_prefixes: &[String], _entry: &str) -> Vec<String> {
    Vec::new()
}

/// Finds no process: none is known after the death of its runner.
pub fn kill_processes(_id: &str, _cgroup: Option<&Path>) -> Vec<LeftProcess> {
    Vec::new()
}

/// Boots have no id.
pub fn boot_id() -> Option<String> {
    None
}

/// A script runs as the agent's user.
pub(crate) fn run_as(_arguments: &[OsString]) -> Option<ExitCode> {
    None
}

/// Message of a thread.
enum Message {
    Event(Event),
    Output(Vec<u8>),
}

/// The runner's process and its script.
pub(crate) struct Host {
    id: String,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    script: Option<Arc<Mutex<Child>>>,
    is_output_open: bool,
}

impl Host {
    pub(crate) fn new(spec: &Spec) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let requests = sender.clone();
        thread::spawn(move || {
            for byte in io::stdin().bytes().map_while(Result::ok) {
                let event = match byte {
                    STOP => Event::Stop,
                    END => Event::AgentEnds,
                    _ => continue,
                };
                if requests.send(Message::Event(event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { id: spec.id.clone(), sender, receiver, script: None, is_output_open: false })
    }

    pub(crate) fn claim(&self) -> Claim {
        Claim { boot_id: String::new(), cgroup: None }
    }

    pub(crate) fn containment(&self) -> Containment {
        contain_processes()
    }

    pub(crate) fn start(&mut self, spec: &Spec) -> io::Result<()> {
        if spec.user.is_some() {
            return Err(io::Error::other("running as another user is not supported on Windows"));
        }
        let (mut reader, writer) = io::pipe()?;
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .arg(&spec.script_file)
            .env_clear()
            // Without this variable most programs cannot load their libraries.
            .envs(env::var_os("SystemRoot").map(|value| ("SystemRoot", value)))
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .env(MARK, &self.id)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .current_dir(&spec.work_dir);
        let script = Arc::new(Mutex::new(command.spawn()?));
        drop(command);
        self.script = Some(Arc::clone(&script));
        self.is_output_open = true;
        let output = self.sender.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; READ_BYTES];
            while let Ok(count) = reader.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                if count == 0 || output.send(Message::Output(bytes)).is_err() {
                    break;
                }
            }
            drop(output.send(Message::Event(Event::OutputClosed)));
        });
        let exit = self.sender.clone();
        thread::spawn(move || {
            loop {
                let status = script.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
                if let Ok(Some(status)) = status {
                    let end = End::Exited { code: status.code().unwrap_or_default() };
                    drop(exit.send(Message::Event(Event::Exited(end))));
                    return;
                }
                thread::sleep(POLL_INTERVAL);
            }
        });
        Ok(())
    }

    pub(crate) fn next(&mut self, deadline: Option<Instant>, output: &mut Output) -> io::Result<Event> {
        loop {
            let message = match deadline {
                Some(deadline) => {
                    self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                }
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Output(bytes)) => output.push(&bytes),
                Ok(Message::Event(event)) => {
                    self.is_output_open &= event != Event::OutputClosed;
                    return Ok(event);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Event::Deadline),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the threads have ended"));
                }
            }
        }
    }

    pub(crate) fn is_output_open(&self) -> bool {
        self.is_output_open
    }

    pub(crate) fn kill(&mut self) -> (Option<End>, Vec<LeftProcess>) {
        if let Some(script) = &self.script {
            // Fails only if the script has ended.
            drop(script.lock().unwrap_or_else(PoisonError::into_inner).kill());
        }
        (None, Vec::new())
    }

    pub(crate) fn left_processes(&mut self) -> (Vec<LeftProcess>, u32) {
        (Vec::new(), 0)
    }

    /// Sends nothing: live output is not supported on Windows.
    pub(crate) fn send_rest(&mut self, _output: &Output) {}

    pub(crate) fn announce_end(&mut self) {
        let mut stdout = io::stdout();
        drop(stdout.write_all(&[ENDED]).and_then(|()| stdout.flush()));
    }

    pub(crate) fn drain(&mut self, _read_pause: Duration) -> io::Result<()> {
        let mut nothing = Output::new(0, 0);
        while self.is_output_open {
            self.next(None, &mut nothing)?;
        }
        Ok(())
    }
}
