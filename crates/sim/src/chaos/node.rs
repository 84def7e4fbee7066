//! One process of the cluster, which can be killed, stopped and started again.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::clock::Clock;

/// A process and how it is started.
pub(crate) struct Node {
    pub(crate) name: String,
    make: Box<dyn Fn() -> anyhow::Result<Command> + Send>,
    log: PathBuf,
    clock: Option<Clock>,
    child: Option<Child>,
}

impl Node {
    /// Starts it.
    pub(crate) fn start(
        name: String,
        log: PathBuf,
        make: impl Fn() -> anyhow::Result<Command> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut node = Self { name, make: Box::new(make), log, clock: None, child: None };
        node.run()?;
        Ok(node)
    }

    /// Starts it with a clock of its own, which can be set.
    pub(crate) fn start_with_clock(
        name: String,
        log: PathBuf,
        make: impl Fn() -> anyhow::Result<Command> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let clock = Some(Clock::new(log.with_file_name(format!("{name}.clock")))?);
        let mut node = Self { name, make: Box::new(make), log, clock, child: None };
        node.run()?;
        Ok(node)
    }

    /// Starts it if it does not run.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.child
            && child.try_wait()?.is_none()
        {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = (self.make)()?;
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.with_context(|| format!("cannot start {}", self.name))?);
        Ok(())
    }

    /// Shifts the clock of the node by this many seconds, which may be negative.
    pub(crate) fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        self.clock.as_ref().with_context(|| format!("{} has no clock of its own", self.name))?.set(seconds)
    }

    /// Sends SIGTERM, after which it ends when it has done what it must. A hung process is woken:
    /// it would not see the signal, and the fault that hung it may wait for this node.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        self.wake()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        })
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP, as a machine that hangs.
    pub(crate) fn hang(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT, which ends the effect of SIGSTOP.
    pub(crate) fn wake(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if let Some(child) = &self.child
            && let Some(pid) = Pid::from_raw(i32::try_from(child.id())?)
        {
            // One that has just ended is as good.
            kill_process(pid, signal).ok();
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.wake());
        drop(self.kill());
    }
}
