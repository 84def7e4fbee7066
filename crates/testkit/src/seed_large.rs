//! A large database for reads: desktops, one task over all of them, and many small tasks.

use anyhow::Context as _;
use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{ProjectId, TaskId},
};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// Size of a database for reads. The rows are the same for the same size and time.
#[derive(Debug, Clone, Copy)]
pub struct LargeSize {
    /// Number of desktops, and of targets of the large task: at least `targets_per_task`.
    pub desktops: u32,
    /// Number of other tasks.
    pub tasks: u32,
    /// Number of targets of each of them.
    pub targets_per_task: u32,
}

/// Tasks of a database for reads.
#[derive(Debug, Clone, Copy)]
pub struct LargeDatabase {
    /// The task over all desktops. Half of the others are older.
    pub large: TaskId,
    /// The newest task, which runs.
    pub newest: TaskId,
}

/// Records of all targets of ended tasks, and of the first half of the others.
const INSERT_RECORDS: &str = "INSERT INTO record (task_id, ordinal, script, attempt, outcome, exit_code, started_at, ended_at, output, reason,
                 fingerprint_id)
             SELECT k.task_id, t.ordinal, ts.script, 1, CASE WHEN t.ordinal % 50 = 49 THEN 'FAILED' ELSE 'SUCCESS' END::outcome,
                 t.ordinal % 50, k.started_at, k.started_at + interval '1 second', 'ok', '',
                 CASE WHEN t.ordinal % 50 = 49 THEN 1 END
             FROM task k JOIN target t USING (task_id) JOIN task_script ts USING (task_id)
             WHERE k.status <> 'RUNNING' OR t.ordinal < k.target_count / 2";

/// Time between two tasks.
const TASK_EVERY: TimeDelta = TimeDelta::minutes(2);

/// Fills the database of a project and updates its statistics. Partitions for the times of the
/// tasks must exist; the last task is accepted at `now`.
///
/// Every task has a gray wave of at most 10 targets. Of the others, each 20th runs a command, each
/// 10th two scripts, the newest 10 still run, and of 50 records one failed.
pub async fn seed_large(
    connection: &mut PgConnection,
    project_id: &ProjectId,
    size: LargeSize,
    now: Timestamp,
) -> anyhow::Result<LargeDatabase> {
    let plan = Plan { project_id, size, now };
    for statement in plan.statements() {
        sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(&mut *connection)
            .await
            .with_context(|| format!("cannot execute {statement}"))?;
    }
    sqlx::query("VACUUM ANALYZE").execute(connection).await?;
    Ok(LargeDatabase { large: plan.task_id(plan.large()), newest: plan.task_id(size.tasks) })
}

struct Plan<'a> {
    project_id: &'a ProjectId,
    size: LargeSize,
    now: Timestamp,
}

impl Plan<'_> {
    /// Number of the large task among all.
    const fn large(&self) -> u32 {
        self.size.tasks / 2
    }

    fn created_at(&self, number: u32) -> Timestamp {
        self.now - TASK_EVERY * i32::try_from(self.size.tasks - number).unwrap_or(i32::MAX)
    }

    fn task_id(&self, number: u32) -> TaskId {
        let millis = u64::try_from(self.created_at(number).timestamp_millis()).unwrap_or_default();
        let mut random = [0; 10];
        random[6..].copy_from_slice(&number.to_be_bytes());
        TaskId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    fn statements(&self) -> Vec<String> {
        let LargeSize { desktops, tasks, targets_per_task } = self.size;
        let (project, large, last) = (self.project_id.as_str(), self.large(), tasks);
        let script = |number: &str| format!("lpad(to_hex({number}), 32, '0')::uuid");
        let rows: Vec<String> = (0..=tasks)
            .map(|number| {
                let id: Uuid = self.task_id(number).0;
                format!("({number}, '{id}'::uuid, '{}'::timestamptz)", self.created_at(number).to_rfc3339())
            })
            .collect();
        let targets = format!("CASE WHEN n = {large} THEN {desktops} ELSE {targets_per_task} END");
        let is_command = "n % 20 = 3";
        let scripts = "CASE WHEN n % 10 = 2 THEN 2 ELSE 1 END";
        vec![
            format!(
                "INSERT INTO desktop (project_id, desktop_id, canonical_id, computer_name, os_host_name, os_type,
                     ip_address, pool_id, availability_zone, agent_version, tags, worker_id, presence_at, created_at)
                 SELECT '{project}', id, id, 'pc-' || substr(md5(n::text), 1, 10), 'pc-' || n, 'Linux',
                     '10.' || n / 65536 || '.' || n / 256 % 256 || '.' || n % 256, 'pool-' || n % 20, 'zone-' || n % 3,
                     '1.0.0', jsonb_build_object('ring', (n % 10)::text), CASE WHEN n % 10 > 0 THEN 'worker-' || n % 4 END,
                     '{now}', '{now}'::timestamptz - n * interval '1 second'
                 FROM (SELECT n, 'desktop-' || lpad(n::text, 7, '0') AS id FROM generate_series(0, {desktops} - 1) AS n) AS d",
                now = self.now.to_rfc3339()
            ),
            format!(
                "CREATE TEMP TABLE seed_task AS SELECT * FROM (VALUES {}) AS t (n, id, created_at)",
                rows.join(", ")
            ),
            format!(
                "INSERT INTO task (task_id, project_id, status, resource_type, command_type, command, script_count,
                     target_count, gray, plan_seed, plan_hash, plan_picks, execution_timeout_ms, delivery_timeout_ms,
                     grace_ms, attempt, created_by, created_at, started_at, ended_at)
                 SELECT id, '{project}', CASE WHEN n > {last} - 10 THEN 'RUNNING' WHEN n % 10 = 1 THEN 'FAILED'
                     ELSE 'SUCCESS' END, 'DESKTOP', CASE WHEN {is_command} THEN 'SHELL' END,
                     CASE WHEN {is_command} THEN 'true' END, {scripts}, {targets}, true, 1,
                     decode(repeat('00', 32), 'hex'), '[]', 60000, 60000, 1000, 1, 'ann', created_at, created_at,
                     CASE WHEN n <= {last} - 10 THEN created_at + interval '1 minute' END
                 FROM seed_task"
            ),
            format!(
                "INSERT INTO task_script (task_id, script, script_id, revision, name)
                 SELECT id, s, CASE WHEN NOT {is_command} THEN {} END, CASE WHEN NOT {is_command} THEN 1 END,
                     CASE WHEN {is_command} THEN '' ELSE 'script-' || 1 + (n + s) % 5 END
                 FROM seed_task, generate_series(0, {scripts} - 1) AS s",
                script("1 + (n + s) % 5")
            ),
            format!(
                "INSERT INTO wave (task_id, wave, status, first_ordinal, size, cursor, admitted, target_tally,
                     record_tally, opened_at, closed_at)
                 SELECT id, wave, CASE WHEN n > {last} - 10 AND wave = 2 THEN 'OPEN' ELSE 'CLOSED' END,
                     CASE wave WHEN 1 THEN 0 ELSE 10 END, size, done, done,
                     ARRAY[done - done / 50, done / 50, 0, 0, 0, 0, 0, 0], ARRAY[done - done / 50, done / 50, 0, 0, 0, 0, 0, 0],
                     created_at, created_at
                 FROM seed_task CROSS JOIN (VALUES (1), (2)) AS w (wave),
                     LATERAL (SELECT CASE wave WHEN 1 THEN 10 ELSE {targets} - 10 END AS size) AS s,
                     LATERAL (SELECT CASE WHEN n > {last} - 10 AND wave = 2 THEN size / 2 ELSE size END AS done) AS d"
            ),
            format!(
                "INSERT INTO target (task_id, ordinal, desktop_id, wave)
                 SELECT id, o, 'desktop-' || lpad((CASE WHEN n = {large} THEN (o::int8 * 7919) % {desktops}
                     ELSE ((n::int8 * 37) * {targets_per_task} + o) % {desktops} END)::text, 7, '0'),
                     CASE WHEN o < 10 THEN 1 ELSE 2 END
                 FROM seed_task, generate_series(0, {targets} - 1) AS o"
            ),
            INSERT_RECORDS.to_owned(),
            "DROP TABLE seed_task".to_owned(),
        ]
    }
}
