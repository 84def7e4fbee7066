//! Versions of agents that attach.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use domain::version::{Compatibility, Link, MismatchKind, judge};
use telemetry::Throttle;
use tonic::Status;

/// Checks the versions of agents, and logs untested ones at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct AgentVersions {
    untested: Mutex<Throttle>,
}

impl AgentVersions {
    /// Checks the version of an agent against that of this worker.
    ///
    /// # Errors
    ///
    /// An agent that is too new gets UNAVAILABLE and dials another worker, which may be upgraded
    /// already. An agent that is too old gets FAILED_PRECONDITION: only another package helps.
    pub(crate) fn check(&self, agent: &str, worker: &str, now: Instant) -> Result<(), Status> {
        match judge(Link::AgentToWorker, agent, worker) {
            Compatibility::Tested | Compatibility::Unknown => Ok(()),
            Compatibility::Untested(mismatch) => {
                let mut untested = self.untested.lock().unwrap_or_else(PoisonError::into_inner);
                if untested.pass(now).is_some() {
                    tracing::warn!("an untested agent attaches: {mismatch}");
                }
                Ok(())
            }
            Compatibility::Refused(mismatch) => Err(match mismatch.kind {
                MismatchKind::Ahead => Status::unavailable(mismatch.to_string()),
                MismatchKind::Behind => Status::failed_precondition(mismatch.to_string()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn new_agent_dials_another_worker_and_old_one_is_refused() {
        let versions = AgentVersions::default();
        let check = |agent| versions.check(agent, "1.4.2", Instant::now()).map_err(|status| status.code());
        for agent in ["1.4.2", "1.3.0", "1.5.0", "1.0.0", "simulated"] {
            assert_eq!(check(agent), Ok(()), "{agent}");
        }
        assert_eq!(check("1.6.0"), Err(Code::Unavailable));
        let of_major = versions.check("1.6.0", "3.0.0", Instant::now()).unwrap_err();
        assert_eq!(of_major.code(), Code::FailedPrecondition);
        assert!(of_major.message().contains("install its package by hand"), "{}", of_major.message());
    }
}
