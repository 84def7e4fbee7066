//! Output of processes that outlive their script.
//!
//! The agent reads and discards it. If it closed the pipe instead, the next write would kill the
//! process with SIGPIPE.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::unix::pipe::Receiver, task::AbortHandle, time::sleep};

#[cfg(test)]
#[path = "drains_tests.rs"]
mod tests;

/// Maximum number of pipes that one agent drains at the same time. A further one closes the oldest.
pub(crate) const MAX_DRAINS: usize = 64;
/// Pause between two reads, so that a process that writes endlessly does not occupy the agent. It
/// limits a drain to about 6 MiB per second.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Size of one read: the default capacity of a pipe.
const READ_BYTES: usize = 64 << 10;

/// Reads pipes until their last writer closes them. Dropping this closes all of them.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    /// Drains, oldest first.
    open: Mutex<VecDeque<AbortHandle>>,
}

impl Drains {
    /// Drains a pipe in the background.
    pub(crate) fn add(&self, pipe: Receiver) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|drain| !drain.is_finished());
        if open.len() == MAX_DRAINS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            tracing::warn!(
                limit = MAX_DRAINS,
                "drain limit reached; closed the oldest output of a background process"
            );
        }
        open.push_back(tokio::spawn(drain(pipe)).abort_handle());
    }
}

impl Drop for Drains {
    fn drop(&mut self) {
        for drain in self.open.get_mut().unwrap_or_else(PoisonError::into_inner) {
            drain.abort();
        }
    }
}

async fn drain(pipe: Receiver) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if let Err(error) = pipe.readable().await {
            tracing::debug!(%error, "reading the output of a background process failed");
            return;
        }
        match pipe.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => sleep(POLL_INTERVAL).await,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::debug!(%error, "reading the output of a background process failed");
                return;
            }
        }
    }
}
