//! Earlier attempts: an order that retries another one starts only when that one has ended on this
//! desktop.

use std::{future::ready, sync::Arc, time::Duration};

use runner::LeftProcess;
use tokio::time::{sleep, timeout};

use super::{
    state::{Active, Shared},
    stop_point::StopPoint,
};
use crate::{
    blocking::blocking,
    execution::{self, AgentStop, Finish, Supervised},
};

/// Time limit for the end of earlier attempts. A runner that does not respond is killed after 90
/// seconds.
const END_TIMEOUT: Duration = Duration::from_secs(150);

/// Time for which a retry that cannot start is kept, before it is given back: the control plane
/// delivers it again at once.
const RETURN_PAUSE: Duration = Duration::from_secs(30);

/// State of earlier attempts.
pub(super) enum Earlier {
    /// None of them runs.
    Ended,
    /// One of them may run, for this reason.
    Remains(String),
    AgentStops,
}

impl Active {
    /// Ends the earlier attempts of this order's target, which belong to these tasks. Returns early
    /// if this order is stopped from `first` on.
    pub(super) async fn end_earlier(&self, retried: &[String], first: u32) -> Earlier {
        if retried.is_empty() {
            return Earlier::Ended;
        }
        let ended = async {
            let ended = timeout(END_TIMEOUT, self.shared.end_attempts_of(retried)).await;
            let ended = ended.unwrap_or_else(|_| {
                Earlier::Remains("an earlier attempt of this target still runs".to_owned())
            });
            if matches!(ended, Earlier::Remains(_)) {
                sleep(RETURN_PAUSE).await;
            }
            ended
        };
        tokio::select! {
            ended = ended => ended,
            // It does not start, even if an earlier attempt remains.
            () = self.stop.reached(first) => Earlier::Ended,
            _ = self.shared.agent_stops() => Earlier::AgentStops,
        }
    }
}

impl Shared {
    /// Queued and running orders of these tasks.
    pub(super) fn active_of(&self, tasks: &[String]) -> Vec<Arc<StopPoint>> {
        let active = self.active();
        active.iter().filter(|(key, _)| tasks.contains(&key.task)).map(|(_, stop)| Arc::clone(stop)).collect()
    }

    async fn end_attempts_of(&self, tasks: &[String]) -> Earlier {
        // The waits keep no stop position alive: two retries would wait for each other.
        let ends = self.active_of(tasks).into_iter().map(|stop| {
            stop.ask_for_retry();
            stop.ended()
        });
        for ended in ends.collect::<Vec<_>>() {
            ended.await;
        }
        let runs = self.runs.clone();
        let prefixes: Vec<String> = tasks.iter().map(|task| format!("{task}-")).collect();
        let of_desktop = format!("{}={}", execution::DESKTOP_ID, self.desktop_id);
        let found = blocking(move || {
            let is_of = |id: &String| prefixes.iter().any(|prefix| id.starts_with(prefix));
            let with_dir: Vec<String> = runs.list().into_iter().filter(is_of).collect();
            let mut without_dir = runner::running_ids(&prefixes, &of_desktop);
            without_dir.retain(|id| !with_dir.contains(id));
            (with_dir, without_dir)
        });
        let (with_dir, without_dir) = found.await;
        for id in with_dir {
            if let Some(reason) = remains(&self.end_run(id).await) {
                return Earlier::Remains(reason);
            }
        }
        // Their data directory is lost.
        for id in without_dir {
            tracing::warn!(id, "ending an earlier attempt whose run directory is lost");
            if let Some(reason) = remains(&blocking(move || runner::kill_processes(&id, None)).await) {
                return Earlier::Remains(reason);
            }
        }
        Earlier::Ended
    }

    /// Ends a run that no order of this agent owns, as after the loss of the journal. Returns the
    /// processes that survive.
    async fn end_run(&self, id: String) -> Vec<LeftProcess> {
        let run_dir = self.runs.dir(&id);
        // Its working directory belongs to the order that began it.
        let mut supervised = Supervised::attach(id.clone(), run_dir.clone(), None);
        let agent_stops = std::future::pending::<AgentStop>();
        match Box::pin(supervised.finish(ready(()), agent_stops)).await {
            Finish::Ended(ended) => {
                if ended.left_processes.iter().all(|process| !process.survived_kill) {
                    return Vec::new();
                }
                let cgroup = run_dir.claim_of_runner().and_then(|claim| claim.cgroup);
                blocking(move || runner::kill_processes(&id, cgroup.as_deref())).await
            }
            Finish::Lost { survivors, .. } => survivors,
            Finish::NeverStarted(_) | Finish::Detached => Vec::new(),
        }
    }
}

/// Reason for which a retry cannot start; `None` if nothing survived.
fn remains(survivors: &[LeftProcess]) -> Option<String> {
    if survivors.is_empty() {
        return None;
    }
    let mut reason = "an earlier attempt of this target has not ended".to_owned();
    execution::append_survivors(&mut reason, survivors);
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_keep_a_retry_from_starting() {
        let survivor =
            LeftProcess { pid: 7, command: "sleep 9".into(), user: "root".into(), survived_kill: true };
        assert_eq!(
            remains(&[survivor]).unwrap(),
            "an earlier attempt of this target has not ended; processes that survived the kill: 7 sleep 9 (root)"
        );
        assert_eq!(remains(&[]), None);
    }
}
