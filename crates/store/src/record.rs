//! Records: written once, when their target ends; listed together with those that are not written (yet).

use domain::{
    Timestamp,
    ids::{DesktopId, ProjectId, ScriptId, TaskId},
    outcome::Outcome,
    page::Page,
    record::{Place, RecordId, RecordStatus, SKIPPED_REASON},
    script::ScriptType,
    task::TaskStatus,
    what_if::Finished,
};
use engine::row::NewRecord;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, int2, int4, text_id, word},
};

/// Stores new records of one task in one statement. One that is there already is an error: the waves' locks keep two
/// transactions from storing the same target.
pub(crate) async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    attempt: u16,
    records: &[NewRecord],
) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let ordinals: Vec<i32> = records.iter().map(|record| int4(record.ordinal)).collect();
    let scripts: Vec<i16> = records.iter().map(|record| int2(record.script)).collect();
    let outcomes: Vec<String> = records.iter().map(|record| record.outcome.as_str().to_owned()).collect();
    let exit_codes: Vec<Option<i32>> = records.iter().map(|record| record.exit_code).collect();
    let started: Vec<Option<Timestamp>> = records.iter().map(|record| record.started_at).collect();
    let ended: Vec<Timestamp> = records.iter().map(|record| record.ended_at).collect();
    let outputs: Vec<String> = records.iter().map(|record| record.output.clone()).collect();
    let reasons: Vec<String> = records.iter().map(|record| record.reason.clone()).collect();
    let fingerprint_ids: Vec<Option<i64>> = records.iter().map(|record| record.fingerprint_id).collect();
    sqlx::query!(
        "INSERT INTO record (task_id, ordinal, script, attempt, outcome, exit_code, started_at, ended_at, output, reason,
                             fingerprint_id)
         SELECT $1, n.ordinal, n.script, $2, n.outcome::outcome, n.exit_code, n.started_at, n.ended_at, n.output, n.reason,
                n.fingerprint_id
         FROM unnest($3::int4[], $4::int2[], $5::text[], $6::int4[], $7::timestamptz[], $8::timestamptz[], $9::text[],
                     $10::text[], $11::int8[])
              AS n (ordinal, script, outcome, exit_code, started_at, ended_at, output, reason, fingerprint_id)
         ORDER BY n.ordinal, n.script",
        task_id.0,
        int2(attempt),
        &ordinals,
        &scripts,
        &outcomes,
        &exit_codes as &[Option<i32>],
        &started as &[Option<Timestamp>],
        &ended,
        &outputs,
        &reasons,
        &fingerprint_ids as &[Option<i64>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How the targets of a task ended, each by the script that decided it, in the order of the plan.
pub async fn finished(connection: &mut Connection, task_id: TaskId) -> Result<Vec<Finished>, Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (ordinal) ordinal, outcome::text AS "outcome!", exit_code,
                  max(ended_at) OVER (PARTITION BY ordinal) AS "ended_at!"
           FROM record WHERE task_id = $1
           ORDER BY ordinal, outcome = 'SUCCESS', script"#,
        task_id.0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Finished {
                ordinal: count("record", row.ordinal)?,
                outcome: word("record", &row.outcome)?,
                exit_code: row.exit_code,
                ended_at: row.ended_at,
            })
        })
        .collect()
}

/// A record as it is listed: stored, or derived from where its target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its id.
    pub record_id: RecordId,
    /// The script, unless the task runs a command.
    pub script_id: Option<ScriptId>,
    /// The script's name at the pinned revision.
    pub script_name: String,
    /// The command and what runs it, instead of a script.
    pub command: Option<(ScriptType, String)>,
    /// The desktop.
    pub desktop_id: String,
    /// The desktop's name.
    pub computer_name: String,
    /// Its wave.
    pub wave: u16,
    /// Whether wave 1 of its task is a gray wave.
    pub gray: bool,
    /// Where it is.
    pub status: RecordStatus,
    /// Where it ended by itself.
    pub exit_code: Option<i32>,
    /// Where it started.
    pub started_at: Option<Timestamp>,
    /// Where it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended so.
    pub reason: String,
    /// What it printed; only in [`fetch`], and in a [`page`] that asks for it.
    pub output: String,
}

impl RecordRow {
    /// How it ended; `None` until it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.status {
            RecordStatus::Ended(outcome) => Some(outcome),
            RecordStatus::Waiting | RecordStatus::Running => None,
        }
    }

    /// Why it ended so, where that is known; one that was never stored says it by itself.
    pub fn shown_reason(&self) -> Option<&str> {
        if self.outcome().is_some() && self.ended_at.is_none() {
            return Some(SKIPPED_REASON);
        }
        Some(self.reason.as_str()).filter(|reason| !reason.is_empty())
    }
}

/// Filters of the list; all exact. Several values of one filter are alternatives.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Only of this task.
    pub task_id: Option<TaskId>,
    /// Only on these desktops.
    pub desktop_ids: Vec<String>,
    /// Only of these scripts.
    pub script_ids: Option<Vec<ScriptId>>,
    /// Only of scripts with these names.
    pub script_names: Vec<String>,
    /// Only with this status word of the API.
    pub status: Option<String>,
    /// Only of tasks over desktops of one of these pools.
    pub pool_ids: Vec<String>,
    /// Only of the gray wave, or only of what is not in it.
    pub is_first_order: Option<bool>,
    /// Only of tasks that run a command, or only of those that run scripts.
    pub runs_command: Option<bool>,
    /// Started (or, where it did not start, accepted) at this moment or later.
    pub from: Option<Timestamp>,
    /// Started (or, where it did not start, accepted) at this moment or earlier.
    pub until: Option<Timestamp>,
    /// Only the newest record of each script on each desktop.
    pub latest_only: bool,
    /// Only of this wave.
    pub wave: Option<u16>,
    /// Only what comes behind this ordinal and script in the order of the plan.
    pub after: Option<(u32, u16)>,
    /// With what each of them printed; only for a [`page`].
    pub with_output: bool,
}

/// One page of records, newest task first, in the order of the plan, and how many there are in all.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
    page: Page,
) -> Result<(i64, Vec<RecordRow>), Error> {
    // A count looks at every row: where a target is costs too much to be looked up where nobody asks for it.
    let mut counting = QueryBuilder::<Postgres>::new("SELECT count(*)");
    if filter.status.is_some() {
        push_from(&mut counting);
    } else {
        counting.push(FROM_RECORDS);
    }
    push_filter(&mut counting, project_id, filter);
    let count: i64 = counting.build_query_scalar().fetch_one(&mut *connection).await?;

    let mut listing = QueryBuilder::<Postgres>::new(SELECT_RECORD);
    listing.push(format!(", {PLACE} AS place, '' AS output"));
    push_from(&mut listing);
    push_filter(&mut listing, project_id, filter);
    listing.push(" ORDER BY k.task_id DESC, t.ordinal, ts.script OFFSET ").push_bind(page.offset);
    listing.push(" LIMIT ").push_bind(page.limit);
    let rows: Vec<Listed> = listing.build_query_as().fetch_all(connection).await?;
    Ok((count, rows.into_iter().map(RecordRow::try_from).collect::<Result<_, _>>()?))
}

/// Records in the order of their task's plan, from behind `filter.after` on.
pub async fn page(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
    limit: i64,
) -> Result<Vec<RecordRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_RECORD);
    let output = if filter.with_output { "coalesce(r.output, '')" } else { "''" };
    query.push(format!(", {PLACE} AS place, {output} AS output"));
    push_from(&mut query);
    push_filter(&mut query, project_id, filter);
    query.push(" ORDER BY t.ordinal, ts.script LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(RecordRow::try_from).collect()
}

/// One record with its output.
pub async fn fetch(
    connection: &mut Connection,
    project_id: &ProjectId,
    record_id: RecordId,
) -> Result<Option<RecordRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_RECORD);
    query.push(format!(", {PLACE} AS place, coalesce(r.output, '') AS output"));
    push_from(&mut query);
    query.push(" WHERE k.project_id = ").push_bind(project_id.as_str().to_owned());
    query.push(" AND k.task_id = ").push_bind(record_id.task_id.0);
    query.push(" AND k.attempt = ").push_bind(int2(record_id.attempt));
    query.push(" AND t.ordinal = ").push_bind(i64::from(record_id.ordinal));
    query.push(" AND ts.script = ").push_bind(i32::from(record_id.script));
    let row: Option<Listed> = query.build_query_as().fetch_optional(connection).await?;
    row.map(RecordRow::try_from).transpose()
}

/// Where a target without a record is; the words are those of [`place_word`].
const PLACE: &str = "CASE WHEN ts.script < t.first_script THEN 'done_earlier' WHEN b.status = 'LEASED' THEN 'leased' WHEN b.status = 'READY' OR s.task_id IS NOT NULL \
                     THEN 'queued' WHEN x.script = ts.script THEN 'stopped' WHEN x.script < ts.script \
                     THEN 'behind_stopped' ELSE 'nowhere' END";

const SELECT_RECORD: &str =
    "SELECT k.task_id, t.ordinal, ts.script, k.attempt, ts.script_id, ts.name, k.command_type, k.command,
    t.desktop_id, coalesce(d.computer_name, '') AS computer_name, t.wave, k.gray, k.status AS task_status,
    r.outcome::text AS outcome, r.exit_code, r.started_at, r.ended_at, coalesce(r.reason, '') AS reason";

/// A page looks at few rows, so where a target is may be looked up for each of them; nothing is looked up for one
/// that has ended.
fn push_from(query: &mut QueryBuilder<Postgres>) {
    query.push(FROM_RECORDS);
    query.push(
        " LEFT JOIN desktop d ON d.project_id = k.project_id AND d.desktop_id = t.desktop_id
          LEFT JOIN deferred_target s ON s.task_id = k.task_id AND s.ordinal = t.ordinal
          LEFT JOIN target_stop x ON x.task_id = k.task_id AND x.ordinal = t.ordinal
          LEFT JOIN LATERAL (
              SELECT b.status FROM batch b
              WHERE r.outcome IS NULL AND k.ended_at IS NULL AND b.task_id = k.task_id AND t.ordinal = ANY(b.ordinals)
              LIMIT 1) AS b ON true",
    );
}

const FROM_RECORDS: &str =
    " FROM task k JOIN target t ON t.task_id = k.task_id JOIN task_script ts ON ts.task_id = k.task_id
      LEFT JOIN record r ON r.task_id = k.task_id AND r.ordinal = t.ordinal AND r.script = ts.script
           AND r.attempt = k.attempt";

fn push_filter(query: &mut QueryBuilder<Postgres>, project_id: &ProjectId, filter: &RecordFilter) {
    query.push(" WHERE k.project_id = ").push_bind(project_id.as_str().to_owned());
    if let Some(task_id) = filter.task_id {
        query.push(" AND k.task_id = ").push_bind(task_id.0);
    }
    if !filter.desktop_ids.is_empty() {
        query.push(" AND t.desktop_id = ANY(").push_bind(filter.desktop_ids.clone()).push(")");
    }
    if let Some(script_ids) = &filter.script_ids {
        let ids: Vec<Uuid> = script_ids.iter().map(|id| id.0).collect();
        query.push(" AND ts.script_id = ANY(").push_bind(ids).push(")");
    }
    if !filter.script_names.is_empty() {
        query.push(" AND ts.name = ANY(").push_bind(filter.script_names.clone()).push(")");
    }
    if let Some(status) = &filter.status {
        query.push(format!(" AND coalesce(r.outcome::text, {PLACE} || '/' || k.status) = ANY("));
        query.push_bind(combinations(status)).push(")");
    }
    if !filter.pool_ids.is_empty() {
        query.push(" AND k.resource_group_id = ANY(").push_bind(filter.pool_ids.clone()).push(")");
    }
    if let Some(is_first_order) = filter.is_first_order {
        query.push(if is_first_order {
            " AND k.gray AND t.wave = 1"
        } else {
            " AND NOT (k.gray AND t.wave = 1)"
        });
    }
    if let Some(runs_command) = filter.runs_command {
        query.push(if runs_command { " AND k.command IS NOT NULL" } else { " AND k.command IS NULL" });
    }
    if let Some(wave) = filter.wave {
        query.push(" AND t.wave = ").push_bind(int2(wave));
    }
    if let Some((ordinal, script)) = filter.after {
        query.push(" AND (t.ordinal, ts.script) > (").push_bind(int4(ordinal)).push(", ");
        query.push_bind(int2(script)).push(")");
    }
    if let Some(from) = filter.from {
        query.push(" AND coalesce(r.started_at, k.created_at) >= ").push_bind(from);
    }
    if let Some(until) = filter.until {
        query.push(" AND coalesce(r.started_at, k.created_at) <= ").push_bind(until);
    }
    if filter.latest_only {
        query.push(
            " AND NOT EXISTS (
                 SELECT FROM target later JOIN task lk ON lk.task_id = later.task_id AND lk.project_id = k.project_id
                 JOIN task_script ls ON ls.task_id = later.task_id AND ls.script_id = ts.script_id
                 WHERE later.desktop_id = t.desktop_id AND later.task_id > k.task_id)",
        );
    }
}

const PLACES: [Place; 6] =
    [Place::Nowhere, Place::Queued, Place::Leased, Place::Stopped, Place::BehindStopped, Place::DoneEarlier];

const fn place_word(place: Place) -> &'static str {
    match place {
        Place::Nowhere => "nowhere",
        Place::Queued => "queued",
        Place::Leased => "leased",
        Place::Stopped => "stopped",
        Place::BehindStopped => "behind_stopped",
        Place::DoneEarlier => "done_earlier",
    }
}

/// Every outcome, and where there is none every combination of place and task status, that the rule gives this
/// status word: so that the rule stays in one place although the filter runs in the database.
fn combinations(status: &str) -> Vec<String> {
    let is_meant = |found: RecordStatus| found.status_and_result_code().0 == status;
    let stored = Outcome::ALL.into_iter().filter(|&outcome| is_meant(RecordStatus::Ended(outcome)));
    let mut found: Vec<String> = stored.map(|outcome| outcome.to_string()).collect();
    for place in PLACES {
        for task in TaskStatus::ALL {
            if is_meant(RecordStatus::of(None, place, task)) {
                found.push(format!("{}/{task}", place_word(place)));
            }
        }
    }
    found
}

#[derive(sqlx::FromRow)]
struct Listed {
    task_id: Uuid,
    ordinal: i32,
    script: i16,
    attempt: i16,
    script_id: Option<Uuid>,
    name: String,
    command_type: Option<String>,
    command: Option<String>,
    desktop_id: String,
    computer_name: String,
    wave: i16,
    gray: bool,
    task_status: String,
    outcome: Option<String>,
    place: String,
    exit_code: Option<i32>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    reason: String,
    output: String,
}

impl TryFrom<Listed> for RecordRow {
    type Error = Error;

    fn try_from(row: Listed) -> Result<Self, Error> {
        let outcome = row.outcome.map(|text| word("record", &text)).transpose()?;
        let place = PLACES
            .into_iter()
            .find(|&place| place_word(place) == row.place)
            .ok_or_else(|| Error::corrupt("record", &row.place))?;
        let command_type = row.command_type.map(|text| word("task", &text)).transpose()?;
        Ok(Self {
            record_id: RecordId {
                task_id: TaskId(row.task_id),
                ordinal: count("target", row.ordinal)?,
                script: count("task_script", row.script)?,
                attempt: count("task", row.attempt)?,
            },
            script_id: row.script_id.map(ScriptId),
            script_name: row.name,
            command: command_type.zip(row.command),
            desktop_id: text_id::<DesktopId>("target", row.desktop_id)?.into_string(),
            computer_name: row.computer_name,
            wave: count("target", row.wave)?,
            gray: row.gray,
            status: RecordStatus::of(outcome, place, word("task", &row.task_status)?),
            exit_code: row.exit_code,
            started_at: row.started_at,
            ended_at: row.ended_at,
            reason: row.reason,
            output: row.output,
        })
    }
}
