//! Events of a task, and explanations of its result.

use domain::{
    Error, Reason,
    authz::Action,
    explain::{self, ExplainContext, HistoryRecord, HistoryWave, Sentence},
    ids::TaskId,
    limits,
};
use store::{
    Connection,
    event::{self, EventRow},
    record::{self, RecordFilter},
    target,
    task::TaskRow,
    wave,
};

use crate::{Caller, Control, lookup::find_task, task_queries};

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
        self.read_many(caller.project_id(), async |connection| {
            let task = find_task(connection, caller, Action::GetTask, task_id).await?;
            match desktop_id {
                None => self.explain_task(connection, &task).await,
                Some(desktop_id) => self.explain_desktop(connection, caller, &task, desktop_id).await,
            }
        })
        .await
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
        let mut sentences: Vec<Sentence> = events.into_iter().map(sentence).collect();
        let waves: Vec<_> =
            wave::list(connection, &[task.task_id]).await?.into_iter().map(|(_, row)| row).collect();
        let wait = task_queries::waiting_for(task, &waves, self.environment.now());
        sentences.extend(wait.map(|wait| Sentence { at: None, text: format!("the task waits: {wait}") }));
        for row in waves.iter().filter(|row| row.state.waiting > 0) {
            let text = format!(
                "targets of wave {} that wait for their desktop, a window or a slot: {}",
                row.wave, row.state.waiting
            );
            sentences.push(Sentence { at: None, text });
        }
        Ok(sentences)
    }

    async fn explain_desktop(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        task: &TaskRow,
        desktop_id: &str,
    ) -> Result<Vec<Sentence>, Error> {
        let story = target::story(connection, task.task_id, desktop_id, self.environment.now()).await?;
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
            process: record.process,
            late: record.late_result.map(|late| (late.outcome, late.exit_code, late.received_at)),
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
}
