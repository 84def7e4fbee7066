//! Insight into a task: events, explanations, failure groups and what-if.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    explain::{self, ExplainContext, HistoryRecord, HistoryWave, Sentence},
    ids::TaskId,
    limits,
    plan::PlannedWave,
    record::RecordId,
    rollout::{self, RolloutRequest},
    what_if::{self, WhatIf},
};
use store::{
    Connection,
    event::{self, EventRow},
    failure::{self, FailureGroup},
    record::{self, RecordFilter},
    target, task,
    task::TaskRow,
    wave,
};

use crate::{Caller, Control, lookup, task_queries};

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
    /// Lists events of a task after a given event, in order.
    pub async fn list_events(
        &self,
        caller: &Caller,
        task_id: TaskId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<EventRow>, Error> {
        let mut connection = self.store.acquire().await?;
        find_task(&mut connection, caller, Action::GetTask, task_id).await?;
        Ok(event::list(&mut connection, task_id, after, limit).await?)
    }

    /// Explains a task's result, or why one of its desktops did or did not run. Sentences are in
    /// chronological order.
    pub async fn explain(
        &self,
        caller: &Caller,
        task_id: TaskId,
        desktop_id: Option<&str>,
    ) -> Result<Vec<Sentence>, Error> {
        let mut connection = self.store.acquire().await?;
        let task = find_task(&mut connection, caller, Action::GetTask, task_id).await?;
        match desktop_id {
            None => self.explain_task(&mut connection, &task).await,
            Some(desktop_id) => self.explain_desktop(&mut connection, caller, &task, desktop_id).await,
        }
    }

    async fn explain_task(
        &self,
        connection: &mut Connection,
        task: &TaskRow,
    ) -> Result<Vec<Sentence>, Error> {
        let events = event::list(connection, task.task_id, 0, limits::MAX_EVENTS_EXPLAINED).await?;
        let sentence = |event: EventRow| Sentence {
            at: Some(event.at),
            text: explain::event(event.kind, event.wave, &event.actor, &event.detail),
        };
        let mut told: Vec<Sentence> = events.into_iter().map(sentence).collect();
        let waves: Vec<_> =
            wave::list(connection, &[task.task_id]).await?.into_iter().map(|(_, row)| row).collect();
        let wait = task_queries::waiting_for(task, &waves, self.environment.now());
        told.extend(wait.map(|wait| Sentence { at: None, text: format!("the task waits: {wait}") }));
        for row in waves.iter().filter(|row| row.state.waiting > 0) {
            let text = format!(
                "targets of wave {} that wait for their desktop, a window or a slot: {}",
                row.wave, row.state.waiting
            );
            told.push(Sentence { at: None, text });
        }
        Ok(told)
    }

    async fn explain_desktop(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        task: &TaskRow,
        desktop_id: &str,
    ) -> Result<Vec<Sentence>, Error> {
        let story = target::story(connection, task.task_id, desktop_id).await?;
        let story = story.ok_or_else(|| {
            let shown: String = desktop_id.chars().take(64).collect();
            Error::new(Reason::DesktopNotFound, format!("the task has no desktop {shown:?}"))
        })?;
        let waves: Vec<_> =
            wave::list(connection, &[task.task_id]).await?.into_iter().map(|(_, row)| row).collect();
        let waiting_for = task_queries::waiting_for(task, &waves, self.environment.now());
        let row = waves.into_iter().find(|row| row.wave == story.wave).ok_or_else(Error::internal)?;
        let filter = RecordFilter {
            task_id: Some(task.task_id),
            desktop_ids: vec![desktop_id.to_owned()],
            ..RecordFilter::default()
        };
        let most = i64::try_from(limits::MAX_SCRIPTS_PER_TASK).unwrap_or(i64::MAX);
        let records = record::page(connection, caller.project_id(), &filter, most).await?;
        let records = records.into_iter().map(|record| HistoryRecord {
            name: if record.script_name.is_empty() { "the command".to_owned() } else { record.script_name },
            status: record.status,
            exit_code: record.exit_code,
            started_at: record.started_at,
            ended_at: record.ended_at,
            reason: record.reason,
        });
        let around = ExplainContext {
            now: self.environment.now(),
            accepted_at: task.created_at,
            task: task.status,
            halt_reason: task.halt_reason.clone(),
            waiting_for,
            wave: HistoryWave {
                status: row.state.status,
                opened_at: row.opened_at,
                closed_at: row.closed_at,
                verdict: row.verdict_reason,
            },
            records: records.collect(),
        };
        Ok(explain::desktop(&story, &around))
    }

    /// Lists at most `limit` failure groups of a task, the largest first. Starts after the group
    /// with the given number of records.
    pub async fn list_failures(
        &self,
        caller: &Caller,
        task_id: TaskId,
        after: Option<(u32, i64)>,
        limit: i64,
    ) -> Result<Failures, Error> {
        let mut connection = self.store.acquire().await?;
        let task = find_task(&mut connection, caller, Action::GetRecordDetail, task_id).await?;
        let groups = failure::list(&mut connection, task_id, after, limit).await?;
        let mut members = failure::first_members(&mut connection, task_id, &groups, SHOWN_MEMBERS).await?;
        let with_members = |group: FailureGroup| {
            let desktop_ids = members.remove(&group.fingerprint_id).unwrap_or_default();
            (group, desktop_ids)
        };
        Ok(Failures {
            task_id,
            attempt: task.attempt,
            groups: groups.into_iter().map(with_members).collect(),
            records: failure::total(&mut connection, task_id).await?,
        })
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
        let mut connection = self.store.acquire().await?;
        find_task(&mut connection, caller, Action::GetRecordDetail, task_id).await?;
        if !failure::exists(&mut connection, task_id, fingerprint_id).await? {
            return Err(Error::new(Reason::FailureGroupNotFound, "the task has no such group of failures"));
        }
        Ok(failure::members(&mut connection, task_id, fingerprint_id, after, limit).await?)
    }

    /// Replays a task's recorded results under another rollout, and returns where that rollout
    /// would have stopped. The task's waves apply if the rollout defines none.
    pub async fn what_if(
        &self,
        caller: &Caller,
        task_id: TaskId,
        request: RolloutRequest,
    ) -> Result<WhatIf, Error> {
        let mut connection = self.store.acquire().await?;
        let task = find_task(&mut connection, caller, Action::GetTask, task_id).await?;
        if !task.status.is_ended() {
            return Err(Error::new(Reason::TaskNotEnded, "the task has not ended: some results are missing"));
        }
        let rollout = request.check().map_err(|error| error.within("rollout"))?;
        let planned = match &rollout.waves {
            None => task::planned_waves(&mut connection, task_id).await?,
            Some(waves) => PlannedWave::consecutive(rollout::sizes(waves, task.target_count)?),
        };
        let results = record::finished(&mut connection, task_id).await?;
        Ok(what_if::replay(&planned, &rollout.policy, rollout.max_concurrency, &results))
    }
}

/// Finds a task of the caller's project and checks the caller's right to it.
async fn find_task(
    connection: &mut Connection,
    caller: &Caller,
    action: Action,
    task_id: TaskId,
) -> Result<TaskRow, Error> {
    caller.check(action, [Resource::Task(&task_id.to_string())])?;
    lookup::task(connection, caller, task_id).await
}
