//! The runner as a process: its script in a job object, and the events of both.

use std::{
    io::{self, PipeReader, Read as _},
    os::windows::io::{AsHandle as _, OwnedHandle},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use win32::{account::Token, console, job::Job, process};

use super::control::{Control, Message};
use crate::{Claim, Containment, End, Event, LeftProcess, MARK, MAX_LEFT_PROCESSES, Output, Spec, User};

/// Size of one read.
const READ_BYTES: usize = 64 << 10;
/// Maximum number of messages that wait. Threads wait when there are more.
const MAX_MESSAGES: usize = 16;
/// Maximum wait for the end of killed processes.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// Time that processes have to end after their script before they count as left behind.
const LEAVE_GRACE: Duration = Duration::from_millis(100);
/// Interval at which the processes of a job are counted.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Exit code of killed processes: that of `taskkill /f`.
const KILLED_CODE: u32 = 1;
/// The system's part of each console. It ends by itself.
const CONSOLE_HOST: &str = r"\conhost.exe";

/// The runner's process and its script.
#[derive(Debug)]
pub(crate) struct Host {
    id: String,
    control: Control,
    sender: SyncSender<Message>,
    receiver: Receiver<Message>,
    job: Option<Job>,
    script: Option<OwnedHandle>,
    is_output_open: bool,
    /// Pause after each part of the output.
    read_pause: Duration,
}

impl Host {
    /// Listens for the agent, and for the stop of the machine.
    pub(crate) fn new(spec: &Spec, run_dir: &Path) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_MESSAGES);
        let stops = sender.clone();
        console::on_stop(move || {
            drop(stops.send(Message::Event(Event::MachineStops)));
            // The system kills this process when the handler returns, or after a few seconds.
            loop {
                thread::park();
            }
        })?;
        Ok(Self {
            id: spec.id.clone(),
            control: Control::bind(run_dir, &spec.id, &sender)?,
            sender,
            receiver,
            job: None,
            script: None,
            is_output_open: false,
            read_pause: Duration::ZERO,
        })
    }

    /// Claim of this runner.
    pub(crate) fn claim(&self) -> Claim {
        Claim { boot_id: super::boot_id().unwrap_or_default(), cgroup: None }
    }

    pub(crate) fn containment(&self) -> Containment {
        super::contain_processes()
    }

    /// Starts the script in a job of its own, with one pipe for both streams: the output keeps the
    /// order of its writes.
    pub(crate) fn start(&mut self, spec: &Spec) -> io::Result<()> {
        let user = spec.user.as_ref().map(token_of).transpose()?;
        let (reader, writer) = io::pipe()?;
        let mut environment = spec.env.clone();
        environment.push((MARK.to_owned(), self.id.clone()));
        let arguments = spec.raw_args.clone().unwrap_or_else(|| quoted(&spec.args, &spec.script_file));
        let start = process::Start {
            program: Path::new(&spec.program),
            arguments: &arguments,
            environment: &environment,
            directory: &spec.work_dir,
            output: writer.as_handle(),
            user: user.as_ref(),
        };
        let job = Job::new()?;
        // No instruction of the script runs outside the job.
        let suspended = start.suspended()?;
        suspended.process().map_or(Ok(()), |process| job.assign(process))?;
        let script = suspended.resume()?;
        drop(writer);
        self.job = Some(job);
        let (waited, exits, output) = (script.try_clone()?, self.sender.clone(), self.sender.clone());
        self.script = Some(script);
        self.is_output_open = true;
        spawn("output", move || read_all(reader, &output))?;
        spawn("exit", move || {
            if let Ok(code) = process::wait(waited.as_handle()) {
                let end = End::Exited { code: code.cast_signed() };
                drop(exits.send(Message::Event(Event::Exited(end))));
            }
        })
    }

    /// Waits for the next event, and appends output meanwhile.
    pub(crate) fn next(&mut self, deadline: Option<Instant>, output: &mut Output) -> io::Result<Event> {
        // A script that writes without end does not delay the deadline.
        let mut late_messages = 0;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let message = match left {
                Some(left) if left.is_zero() => {
                    late_messages += 1;
                    match self.receiver.try_recv() {
                        Ok(message) if late_messages <= MAX_MESSAGES => message,
                        Ok(_) | Err(TryRecvError::Empty) => return Ok(Event::Deadline),
                        Err(TryRecvError::Disconnected) => return Err(no_threads()),
                    }
                }
                Some(left) => match self.receiver.recv_timeout(left) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return Err(no_threads()),
                },
                None => self.receiver.recv().map_err(|_| no_threads())?,
            };
            if let Some(event) = self.take(message, output) {
                return Ok(event);
            }
        }
    }

    fn take(&mut self, message: Message, output: &mut Output) -> Option<Event> {
        match message {
            Message::Output(bytes) => {
                output.push(&bytes);
                thread::sleep(self.read_pause);
                None
            }
            Message::Connected(connected) => {
                self.control.add(connected);
                None
            }
            Message::Received(received) => self.control.receive(received, output),
            Message::Event(event) => {
                self.is_output_open &= event != Event::OutputClosed;
                Some(event)
            }
        }
    }

    pub(crate) fn is_output_open(&self) -> bool {
        self.is_output_open
    }

    /// Kills all processes of the script. Returns how its own process ended, if it did so before,
    /// and the survivors.
    pub(crate) fn kill(&mut self) -> (Option<End>, Vec<LeftProcess>) {
        let Some(job) = &self.job else { return (None, Vec::new()) };
        let exit_code =
            self.script.as_ref().and_then(|script| process::exit_code(script.as_handle()).ok()?);
        // Fails only if the job is broken; then the processes are survivors.
        drop(job.terminate(KILLED_CODE));
        wait_until_empty(job, KILL_GRACE);
        let end = exit_code.map(|code| End::Exited { code: code.cast_signed() });
        (end, alive(job, true))
    }

    /// Processes that the script left behind.
    pub(crate) fn left_processes(&mut self) -> (Vec<LeftProcess>, u32) {
        let Some(job) = &self.job else { return (Vec::new(), 0) };
        wait_until_empty(job, LEAVE_GRACE);
        let mut left = alive(job, false);
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        left.truncate(MAX_LEFT_PROCESSES);
        (left, count)
    }

    /// Sends the rest of the output to an agent that reads it while the script runs.
    pub(crate) fn send_rest(&mut self, output: &Output) {
        self.control.send_rest(output);
    }

    /// Lets the processes that the script left behind live on, and tells the agent that the result
    /// is in place. Until then the death of this runner kills them.
    pub(crate) fn announce_end(&mut self) {
        if let Some(job) = &self.job {
            // Otherwise they end together with this runner.
            drop(job.keep_processes());
        }
        self.control.announce_end();
    }

    /// Reads and discards output until its last writer closes it, at a limited rate.
    pub(crate) fn drain(&mut self, read_pause: Duration) -> io::Result<()> {
        self.read_pause = read_pause;
        let mut nothing = Output::new(0, 0);
        while self.is_output_open() {
            if self.next(None, &mut nothing)? == Event::MachineStops {
                break;
            }
        }
        Ok(())
    }
}

/// Token of a session, if its user is still the wanted one.
fn token_of(user: &User) -> io::Result<Token> {
    let User::Session(user) = user else {
        return Err(io::Error::other("a user of another system"));
    };
    let token = Token::of_session(user.session_id)?;
    if token.sid()? == user.sid {
        Ok(token)
    } else {
        Err(io::Error::other("another user has logged on to the session"))
    }
}

fn quoted(args: &[String], script_file: &Path) -> String {
    let script_file = script_file.to_string_lossy();
    let all = args.iter().map(String::as_str).chain([&*script_file]);
    all.map(process::quote).collect::<Vec<_>>().join(" ")
}

fn read_all(mut reader: PipeReader, sender: &SyncSender<Message>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count) = reader.read(&mut buffer) {
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        if count == 0 || sender.send(Message::Output(bytes)).is_err() {
            break;
        }
    }
    drop(sender.send(Message::Event(Event::OutputClosed)));
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn wait_until_empty(job: &Job, grace: Duration) {
    let deadline = Instant::now() + grace;
    while job.process_count().is_ok_and(|count| count > 0) && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
}

/// Processes of a job that are alive.
fn alive(job: &Job, survived_kill: bool) -> Vec<LeftProcess> {
    let describe = |pid| {
        let (command, user) = process::describe(pid).unwrap_or_default();
        LeftProcess { pid, command, user, survived_kill }
    };
    let ids = job.process_ids().unwrap_or_default().into_iter();
    ids.map(describe).filter(|process| !process.command.to_lowercase().ends_with(CONSOLE_HOST)).collect()
}

fn no_threads() -> io::Error {
    io::Error::other("the threads have ended")
}
