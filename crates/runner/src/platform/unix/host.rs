//! The runner as a process: its session, its script, and the events of both.

use std::{
    io::{self, ErrorKind, PipeReader, Read as _},
    os::{
        fd::AsFd as _,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    io::{Errno, ioctl_fionbio},
    process::{
        Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, setsid, umask, wait,
    },
};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    low_level::pipe,
};

use super::{cgroup::Cgroup, control::Control, kill, user};
use crate::{Claim, Containment, End, Event, LeftProcess, MARK, Output, Spec};

/// Maximum wait for the end of the script's own process after its kill.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// Time that processes have to end after their script before they count as left behind.
const LEAVE_GRACE: Duration = Duration::from_millis(100);
/// Size of one read: the default capacity of a pipe.
const READ_BYTES: usize = 64 << 10;
/// File mode creation mask of scripts.
const UMASK: Mode = Mode::WGRP.union(Mode::WOTH);

/// The runner's process and its script.
#[derive(Debug)]
pub(crate) struct Host {
    id: String,
    cgroup: Option<Cgroup>,
    control: Control,
    children: UnixStream,
    terminate: UnixStream,
    /// The script's own process; `None` before its start and after its end was seen.
    script: Option<Pid>,
    output: Option<PipeReader>,
    /// Pause after each read of the output.
    read_pause: Duration,
}

impl Host {
    /// Leaves the agent's session, adopts orphans of the script, and listens for the agent.
    pub(crate) fn new(spec: &Spec, _run_dir: &Path) -> io::Result<Self> {
        match setsid() {
            // The leader of a group, as under a debugger, cannot begin a session.
            Ok(_) | Err(Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        set_child_subreaper(Some(getpid()))?;
        umask(UMASK);
        Ok(Self {
            id: spec.id.clone(),
            cgroup: Cgroup::create(&spec.id).ok(),
            control: Control::bind()?,
            children: notified_of(&[SIGCHLD])?,
            terminate: notified_of(&[SIGTERM, SIGINT, SIGHUP])?,
            script: None,
            output: None,
            read_pause: Duration::ZERO,
        })
    }

    /// Claim of this runner.
    pub(crate) fn claim(&self) -> Claim {
        Claim {
            boot_id: super::boot_id().unwrap_or_default(),
            cgroup: self.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned()),
        }
    }

    pub(crate) fn containment(&self) -> Containment {
        if self.cgroup.is_some() { Containment::Cgroup } else { Containment::Mark }
    }

    /// Starts the script in a process group of its own, with one pipe for both streams: the output
    /// keeps the order of its writes.
    pub(crate) fn start(&mut self, spec: &Spec) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        ioctl_fionbio(&reader, true)?;
        let mut command = match &spec.user {
            Some(user) => user::command(user, &spec.program)?,
            None => Command::new(&spec.program),
        };
        command
            .args(&spec.args)
            .arg(&spec.script_file)
            .env_clear()
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .env(MARK, &self.id)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .current_dir(&spec.work_dir)
            .process_group(0);
        let script = match self.cgroup.take() {
            Some(cgroup) => match cgroup.within(|| command.spawn()) {
                Ok((spawned, true)) => {
                    self.cgroup = Some(cgroup);
                    spawned?
                }
                // A kill of the cgroup would kill the runner too.
                Ok((spawned, false)) => spawned?,
                Err(_) => {
                    cgroup.remove();
                    command.spawn()?
                }
            },
            None => command.spawn()?,
        };
        self.script = Pid::from_raw(script.id().cast_signed());
        self.output = Some(reader);
        Ok(())
    }

    /// Waits for the next event, and appends output meanwhile.
    pub(crate) fn next(&mut self, deadline: Option<Instant>, output: &mut Output) -> io::Result<Event> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let is_late = left.is_some_and(|left| left.is_zero());
            let is_readable = self.wait(left)?;
            if let Some(end) = self.reap() {
                return Ok(Event::Exited(end));
            }
            if consume(&mut self.terminate) {
                return Ok(Event::MachineStops);
            }
            if let Some(event) = self.control.read(output) {
                return Ok(event);
            }
            if is_late {
                return Ok(Event::Deadline);
            }
            if is_readable && self.read(output) {
                return Ok(Event::OutputClosed);
            }
        }
    }

    pub(crate) fn is_output_open(&self) -> bool {
        self.output.is_some()
    }

    /// Kills all processes of the script. Returns how its own process ended, unless that was seen
    /// before, and the survivors.
    pub(crate) fn kill(&mut self) -> (Option<End>, Vec<LeftProcess>) {
        let mut end = self.reap();
        // Its own process first: it might notice the death of a child and end with a status of its
        // own.
        if let Some(script) = self.script
            && kill_process(script, Signal::KILL).is_ok()
        {
            let deadline = Instant::now() + KILL_GRACE;
            while self.script.is_some() && Instant::now() < deadline {
                end = end.or_else(|| self.reap());
                thread::sleep(Duration::from_millis(1));
            }
        }
        let survivors = kill::kill(kill::Search::Descendants, &self.id, self.cgroup.as_ref());
        (end, survivors)
    }

    /// Processes that the script left behind. The last members of a pipeline end a moment after it.
    pub(crate) fn left_processes(&mut self) -> (Vec<LeftProcess>, u32) {
        let deadline = Instant::now() + LEAVE_GRACE;
        loop {
            drop(self.reap());
            // Orphans of the script are children of the runner.
            if matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD)) {
                return (Vec::new(), 0);
            }
            if Instant::now() >= deadline {
                return kill::alive(self.cgroup.as_ref());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends the rest of the output to an agent that reads it while the script runs.
    pub(crate) fn send_rest(&mut self, output: &Output) {
        self.control.send_rest(output);
    }

    /// Tells the agent that the result is in place.
    pub(crate) fn announce_end(&mut self) {
        self.control.announce_end();
    }

    /// Reads and discards output until its last writer closes it, at a limited rate. If the runner
    /// closed the pipe instead, the next write would kill the writer.
    pub(crate) fn drain(&mut self, read_pause: Duration) -> io::Result<()> {
        self.read_pause = read_pause;
        let mut nothing = Output::new(0, 0);
        while self.is_output_open() {
            if self.next(None, &mut nothing)? == Event::MachineStops {
                break;
            }
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
        Ok(())
    }

    /// Polls all descriptors; returns whether output can be read.
    fn wait(&self, left: Option<Duration>) -> io::Result<bool> {
        let mut descriptors: Vec<PollFd<'_>> = [self.children.as_fd(), self.terminate.as_fd()]
            .into_iter()
            .chain(self.control.descriptors())
            .chain(self.output.iter().map(|output| output.as_fd()))
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let output = descriptors.last().filter(|_| self.output.is_some());
        Ok(output.is_some_and(|output| !output.revents().is_empty()))
    }

    /// Reads once; true if the output was closed.
    fn read(&mut self, output: &mut Output) -> bool {
        let Some(pipe) = &mut self.output else { return false };
        let mut buffer = [0; READ_BYTES];
        match pipe.read(&mut buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
            Ok(0) | Err(_) => {
                self.output = None;
                true
            }
            Ok(count) => {
                output.push(buffer.get(..count).unwrap_or_default());
                thread::sleep(self.read_pause);
                false
            }
        }
    }

    /// Reaps all ended children: the script's own process and adopted orphans. Returns how the
    /// script's own process ended, once.
    fn reap(&mut self) -> Option<End> {
        consume(&mut self.children);
        let mut end = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.script == Some(pid) {
                self.script = None;
                end = Some(end_of(status));
            }
        }
        end
    }
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited { code },
        // Without a code there is a signal: neither stops nor continues are waited for.
        (None, signal) => End::Signaled { signal: signal.unwrap_or_default() },
    }
}

/// Stream that becomes readable at any of these signals.
fn notified_of(signals: &[i32]) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(*signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

/// Empties a stream; true if it was readable.
fn consume(stream: &mut UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut was_readable = false;
    while matches!(stream.read(&mut bytes), Ok(count) if count > 0) {
        was_readable = true;
    }
    was_readable
}
