//! Checks which results and returns of a report come from the agents of their desktops. A worker
//! has no session key, so it can neither make nor change one.

use std::collections::{HashMap, HashSet};

use domain::ids::{DesktopId, ProjectId};
use proto::{
    agent::ExecutionKey,
    scheduler::{ReportedOutput, ReturnedTarget, TargetResult},
    session_signing::{self, OutputPart, Sender},
    types::Authenticator,
};
use tonic::Status;

use super::context::Service;
use crate::session_keys::SessionKeys;

/// Cause for which a result is not reported.
pub(super) struct NotReported {
    /// Human-readable reason.
    pub(super) reason: String,
    /// Whether its authenticator is missing or not valid.
    pub(super) unauthenticated: bool,
}

impl From<domain::Error> for NotReported {
    fn from(error: domain::Error) -> Self {
        Self { reason: error.to_string(), unauthenticated: false }
    }
}

/// Whether a result is authentic, or the reason why it is refused. A desktop that has never
/// attached with a certificate needs no authenticator where there is no TLS.
pub(super) type Verdict = Result<bool, NotReported>;

/// Results with their verdicts, and returns without what only their agents may say.
pub(super) struct Judged {
    pub(super) results: Vec<(Verdict, TargetResult)>,
    pub(super) returned: Vec<ReturnedTarget>,
}

struct Judge {
    /// Stored session keys of the desktops that have attached with a certificate.
    stored: HashMap<(ProjectId, DesktopId), Vec<Vec<u8>>>,
    session_keys: SessionKeys,
    /// Whether every desktop must authenticate its messages.
    is_strict: bool,
}

/// Judges the results and the returns of a report. Costs one query for all of them.
pub(super) async fn judge(
    service: &Service,
    results: Vec<TargetResult>,
    returned: Vec<ReturnedTarget>,
) -> Result<Judged, Status> {
    let of_results = results.iter().filter_map(|result| ids(&result.project_id, &result.desktop_id));
    let given_back = returned.iter().filter(|target| target.given_back);
    let of_returns = given_back.filter_map(|target| ids(&target.project_id, &target.desktop_id));
    let desktops: HashSet<(ProjectId, DesktopId)> = of_results.chain(of_returns).collect();
    let is_strict = service.signer.is_some();
    if desktops.is_empty() && !is_strict {
        let results = results.into_iter().map(|result| (Ok(false), result)).collect();
        return Ok(Judged { results, returned });
    }
    let judge = Judge::read(service, desktops).await?;
    let judge = move || {
        let results = results.into_iter().map(|result| (judge.of_result(&result), result)).collect();
        let returned = returned.into_iter().map(|target| judge.believed(target)).collect();
        Judged { results, returned }
    };
    tokio::task::spawn_blocking(judge).await.map_err(|error| Status::internal(error.to_string()))
}

/// Keeps the parts of output that are authentic. Costs one query for all of them.
pub(super) async fn keep_authentic(
    service: &Service,
    outputs: Vec<ReportedOutput>,
) -> Result<Vec<ReportedOutput>, Status> {
    let desktops = outputs.iter().filter_map(|output| ids(&output.project_id, &output.desktop_id)).collect();
    let judge = Judge::read(service, desktops).await?;
    let keep = move || outputs.into_iter().filter(|output| judge.is_believed(output)).collect();
    tokio::task::spawn_blocking(keep).await.map_err(|error| Status::internal(error.to_string()))
}

fn ids(project_id: &str, desktop_id: &str) -> Option<(ProjectId, DesktopId)> {
    Some((project_id.parse().ok()?, desktop_id.parse().ok()?))
}

impl Judge {
    async fn read(service: &Service, desktops: HashSet<(ProjectId, DesktopId)>) -> Result<Self, Status> {
        let desktops: Vec<(ProjectId, DesktopId)> = desktops.into_iter().collect();
        let last = match desktops.is_empty() {
            true => Vec::new(),
            false => service.done(service.scheduler.last_attaches(&desktops)).await?,
        };
        let stored =
            last.into_iter().map(|last| ((last.project_id, last.desktop_id), last.session_keys)).collect();
        let session_keys = service.scheduler.session_keys.clone();
        Ok(Self { stored, session_keys, is_strict: service.signer.is_some() })
    }

    /// Whether a part of output is authentic. That an agent has no live output is its worker's
    /// answer: it shows a caller nothing that a silent worker would not.
    fn is_believed(&self, output: &ReportedOutput) -> bool {
        let ReportedOutput { task_id, ordinal, attempt, project_id, desktop_id, agent_id, .. } = output;
        if output.is_unsupported {
            return true;
        }
        let key = ExecutionKey { task_id: task_id.clone(), ordinal: *ordinal, attempt: *attempt };
        let sender = Sender { project_id, desktop_id, agent_id };
        let ReportedOutput { script, from_offset, offset, ref content, is_last, .. } = *output;
        let part = OutputPart { script, from_offset, offset, content, is_last };
        let message = || session_signing::output_message(sender, &key, part);
        let Err(reason) = self.is_authentic(sender, output.authenticator.as_ref(), message) else {
            return true;
        };
        tracing::warn!(task_id, ordinal, desktop_id, reason, "a part of live output is not authentic");
        false
    }

    fn of_result(&self, result: &TargetResult) -> Verdict {
        let TargetResult { task_id, ordinal, attempt, project_id, desktop_id, agent_id, scripts, .. } =
            result;
        let key = ExecutionKey { task_id: task_id.clone(), ordinal: *ordinal, attempt: *attempt };
        let sender = Sender { project_id, desktop_id, agent_id };
        let reboots_from = result.reboots_from.as_deref();
        let message = || session_signing::result_message(sender, &key, scripts, reboots_from);
        self.is_authentic(sender, result.authenticator.as_ref(), message).map_err(|reason| NotReported {
            reason: format!("the result is not authentic: {reason}"),
            unauthenticated: true,
        })
    }

    /// Ignores that an agent gave an order back, if the agent does not say so itself.
    fn believed(&self, target: ReturnedTarget) -> ReturnedTarget {
        if !target.given_back {
            return target;
        }
        let ReturnedTarget { task_id, ordinal, attempt, project_id, desktop_id, agent_id, is_full, .. } =
            &target;
        let key = ExecutionKey { task_id: task_id.clone(), ordinal: *ordinal, attempt: *attempt };
        let sender = Sender { project_id, desktop_id, agent_id };
        let message = || session_signing::return_message(sender, &key, *is_full);
        let Err(reason) = self.is_authentic(sender, target.authenticator.as_ref(), message) else {
            return target;
        };
        tracing::warn!(task_id, ordinal, desktop_id, reason, "the return of an order is not authentic");
        ReturnedTarget { given_back: false, ..target }
    }

    /// Whether a message is authentic; false if it need not be.
    fn is_authentic(
        &self,
        sender: Sender<'_>,
        authenticator: Option<&Authenticator>,
        message: impl FnOnce() -> Vec<u8>,
    ) -> Result<bool, &'static str> {
        let desktop = ids(sender.project_id, sender.desktop_id);
        let stored = desktop.as_ref().and_then(|desktop| self.stored.get(desktop));
        let (desktop, stored) = match desktop.as_ref().zip(stored) {
            Some(known) => known,
            None if self.is_strict || authenticator.is_some() => {
                return Err("the desktop has no session");
            }
            None => return Ok(false),
        };
        let Authenticator { key_id, mac } = authenticator.ok_or("it has no authenticator")?;
        let key = self.session_keys.find((&desktop.0, &desktop.1), stored, key_id);
        let key = key.ok_or("its session key is not known")?;
        if key.is_authentic(&message(), mac) { Ok(true) } else { Err("its authenticator does not match") }
    }
}
