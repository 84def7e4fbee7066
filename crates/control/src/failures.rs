//! Failure groups of a task.

use domain::{Error, Reason, authz::Action, ids::TaskId, record::RecordId};
use store::failure::{self, FailureGroup};

use crate::{Caller, Control, lookup::find_task};

/// Maximum number of members that are listed with a failure group.
const SHOWN_MEMBERS: i64 = 100;

/// Failures of a task.
#[derive(Debug, Clone)]
pub struct Failures {
    /// Id of the task.
    pub task_id: TaskId,
    /// Attempt of the counted records.
    pub attempt: u16,
    /// Number of failed records over all groups.
    pub records: u32,
    /// The largest groups, each with its first desktops in the order of the plan.
    pub groups: Vec<(FailureGroup, Vec<String>)>,
}

impl Failures {
    /// Returns a group's share of the task's failed records in percent, rounded to two decimals.
    pub fn share_percent(&self, group: &FailureGroup) -> f64 {
        (f64::from(group.records) * 10_000.0 / f64::from(self.records)).round() / 100.0
    }

    /// Returns the id of a group's first record.
    pub const fn sample_record_id(&self, group: &FailureGroup) -> RecordId {
        let (ordinal, script) = group.sample_record;
        RecordId { task_id: self.task_id, ordinal, script, attempt: self.attempt }
    }
}

impl Control {
    /// Lists at most `limit` failure groups of a task, the largest first. Starts after the group
    /// with the given number of records. Its samples are output of records, so the call is audited
    /// if the project asks for it.
    pub async fn list_failures(
        &self,
        caller: &Caller,
        task_id: TaskId,
        after: Option<(u32, i64)>,
        limit: i64,
    ) -> Result<Failures, Error> {
        self.read_many(caller.project_id(), async |connection| {
            let task = find_task(connection, caller, Action::GetRecordDetail, task_id).await?;
            let groups = failure::list(connection, task_id, after, limit).await?;
            let resource = format!("task:{task_id}");
            self.note_read(connection, caller, Action::GetRecordDetail, &resource, groups.len()).await?;
            let mut members = failure::first_members(connection, task_id, &groups, SHOWN_MEMBERS).await?;
            let with_members = |group: FailureGroup| {
                let desktop_ids = members.remove(&group.fingerprint_id).unwrap_or_default();
                (group, desktop_ids)
            };
            Ok(Failures {
                task_id,
                attempt: task.attempt,
                groups: groups.into_iter().map(with_members).collect(),
                records: failure::total(connection, task_id).await?,
            })
        })
        .await
    }

    /// Lists desktops of a failure group in the order of the plan, each with its ordinal. Starts
    /// after a given ordinal.
    pub async fn page_failure_members(
        &self,
        caller: &Caller,
        task_id: TaskId,
        fingerprint_id: i64,
        after: Option<u32>,
        limit: i64,
    ) -> Result<Vec<(u32, String)>, Error> {
        self.read_many(caller.project_id(), async |connection| {
            find_task(connection, caller, Action::GetRecordDetail, task_id).await?;
            if !failure::exists(connection, task_id, fingerprint_id).await? {
                return Err(Error::new(
                    Reason::FailureGroupNotFound,
                    "the task has no such group of failures",
                ));
            }
            Ok(failure::members(connection, task_id, fingerprint_id, after, limit).await?)
        })
        .await
    }
}
