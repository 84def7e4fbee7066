//! Life of a runner: claim, script, result, drain.

use std::{
    fs::{self, File},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    End, Ended, Event, Files, MAX_LEFT_PROCESSES, Output, RunDir, Spec,
    platform::{self, Host},
};

/// Time to wait for the lock.
const LOCK_GRACE: Duration = Duration::from_secs(1);
/// Pause between two attempts to take the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// Time that output is read after the end of the script: a background process may hold it forever.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// Time that a script has to end by itself when the machine stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Wait for the signal to the runner after a script ended like one that was terminated: a machine
/// that stops signals its processes one after the other.
const SIGNAL_SPREAD: Duration = Duration::from_millis(200);
/// Pause between two attempts to write the result: the disk may be full.
const WRITE_PAUSE: Duration = Duration::from_secs(1);
/// Number of attempts to write the result.
const WRITE_ATTEMPTS: u32 = 60;
/// Pause after each read of discarded output, which limits it to about 6 MiB per second.
const DRAIN_PAUSE: Duration = Duration::from_millis(10);
/// Numbers of SIGHUP, SIGINT, SIGKILL and SIGTERM, which end the processes of a machine that stops.
const TERMINATING: [i32; 4] = [1, 2, 9, 15];

/// Runs the execution in the run directory. A failure is also written to the file `error` of it.
pub(crate) fn run(path: &Path) -> io::Result<()> {
    let entered = platform::enter(path);
    let dir = RunDir::new(entered.inspect_err(|error| note(&RunDir::new(path.to_owned()), error))?);
    run_in(&dir).inspect_err(|error| note(&dir, error))
}

/// Writes why the execution failed. Best effort: the disk may be the cause.
fn note(dir: &RunDir, error: &io::Error) {
    drop(fs::write(dir.file(Files::ERROR), error.to_string()));
}

fn run_in(dir: &RunDir) -> io::Result<()> {
    let _lock = lock(dir)?;
    let spec = dir.read_spec()?;
    let mut host = Host::new(&spec, dir.path())?;
    dir.reserve_result(spec.output_head_bytes + spec.output_tail_bytes);
    dir.claim(&host.claim())?;
    let ended = execute(&spec, &mut host);
    store(dir, ended)?;
    host.announce_end();
    host.drain(DRAIN_PAUSE)
}

/// Takes the lock. An agent that only looks at the run holds it for a moment.
fn lock(dir: &RunDir) -> io::Result<File> {
    let deadline = Instant::now() + LOCK_GRACE;
    loop {
        if let Some(lock) = dir.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(io::Error::other("another runner holds the lock of this run directory"));
        }
        thread::sleep(LOCK_PAUSE);
    }
}

fn execute(spec: &Spec, host: &mut Host) -> Ended {
    let (started, mut output) = (Instant::now(), Output::new(spec.output_head_bytes, spec.output_tail_bytes));
    let (end, survivors) = match host.start(spec) {
        Ok(()) => supervise(host, started + Duration::from_millis(spec.timeout_ms), &mut output),
        Err(error) => (End::NotStarted { reason: error.to_string() }, Vec::new()),
    };
    let elapsed = started.elapsed();
    read_rest(host, &mut output);
    let (mut left_processes, mut left_processes_count) = host.left_processes();
    if spec.kill_left_processes && left_processes_count > 0 {
        left_processes = host.kill().1;
        left_processes_count = number(left_processes.len());
        read_rest(host, &mut output);
    }
    host.send_rest(&output);
    if !survivors.is_empty() {
        (left_processes_count, left_processes) = (number(survivors.len()), survivors);
    }
    left_processes.truncate(MAX_LEFT_PROCESSES);
    Ended {
        end,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        containment: host.containment(),
        left_processes,
        left_processes_count,
        output: output.into_text(platform::LOCAL_TEXT),
    }
}

/// Waits for the end of a script, and kills it where it does not end by itself. Returns the
/// processes that survived a kill too.
fn supervise(host: &mut Host, deadline: Instant, output: &mut Output) -> (End, Vec<crate::LeftProcess>) {
    let cause = loop {
        match host.next(Some(deadline), output) {
            Ok(Event::Exited(end)) => return (unless_machine_stops(end, host, output), Vec::new()),
            Ok(Event::OutputClosed) => {}
            Ok(Event::Stop) => break End::Stopped,
            Ok(Event::AgentEnds) => break End::AgentEnded,
            Ok(Event::Deadline) => break End::TimedOut,
            Ok(Event::MachineStops) => {
                wait_for_exit(host, STOP_GRACE, output);
                break End::MachineStopped;
            }
            // Without events the script cannot be supervised.
            Err(_) => break End::MachineStopped,
        }
    };
    let (own, survivors) = host.kill();
    match (cause, own) {
        // The script ended just before it was killed.
        (End::Stopped, Some(end)) if end != (End::Signaled { signal: 9 }) => (end, survivors),
        (cause, _) => (cause, survivors),
    }
}

/// End of a script that exited: a script that the machine's stop ended did not fail.
fn unless_machine_stops(end: End, host: &mut Host, output: &mut Output) -> End {
    if !looks_terminated(&end) {
        return end;
    }
    let deadline = Instant::now() + SIGNAL_SPREAD;
    loop {
        match host.next(Some(deadline), output) {
            Ok(Event::MachineStops) => return End::MachineStopped,
            Ok(Event::Deadline) | Err(_) => return end,
            Ok(_) => {}
        }
    }
}

/// Whether a script ended like one whose processes were terminated: by a signal, or with the exit
/// code of a shell for it.
fn looks_terminated(end: &End) -> bool {
    match end {
        End::Signaled { signal } => TERMINATING.contains(signal),
        End::Exited { code } => {
            code.checked_sub(128).is_some_and(|signal| TERMINATING.contains(&signal))
                || platform::TERMINATED_CODES.contains(code)
        }
        _ => false,
    }
}

fn wait_for_exit(host: &mut Host, grace: Duration, output: &mut Output) {
    let deadline = Instant::now() + grace;
    while !matches!(host.next(Some(deadline), output), Ok(Event::Exited(_) | Event::Deadline) | Err(_)) {}
}

/// Reads the output until it is closed, for a limited time.
fn read_rest(host: &mut Host, output: &mut Output) {
    let deadline = Instant::now() + OUTPUT_GRACE;
    while host.is_output_open() {
        if matches!(host.next(Some(deadline), output), Ok(Event::Deadline) | Err(_)) {
            return;
        }
    }
}

/// Writes the result. A script may have filled the disk: then the result goes without the output
/// into the reserved space, or waits for space.
fn store(dir: &RunDir, mut ended: Ended) -> io::Result<()> {
    let mut written = dir.write_result(&ended);
    for _ in 1..WRITE_ATTEMPTS {
        match &written {
            Ok(()) => break,
            // The script has removed the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(_) => {}
        }
        ended.output = "[the output is lost: writing the result failed]\n".to_owned();
        written = dir.write_result(&ended);
        if written.is_err() {
            thread::sleep(WRITE_PAUSE);
        }
    }
    written
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_exit_code_of_32_bits_is_judged() {
        for (code, expected) in [(i32::MIN, false), (i32::MAX, false), (0, false), (143, true), (3010, false)]
        {
            assert_eq!(looks_terminated(&End::Exited { code }), expected, "{code}");
        }
    }
}
