//! The invariants, checked at the end: the database against the lines that scripts wrote.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{
    faults::Faults,
    liar::LIAR,
    load::{Accepted, STRICT_THRESHOLD},
    oracle::{self, Marks, Run},
    system::System,
};

/// After the last fault everything ends within its deadlines.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Results of the checks.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) tasks_by_status: BTreeMap<String, usize>,
    pub(crate) targets_by_outcome: BTreeMap<String, usize>,
    pub(crate) starts: usize,
    /// Descriptions of violations.
    pub(crate) violations: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct Task {
    task_id: Uuid,
    status: String,
    attempt: i16,
    target_count: i32,
    created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Target {
    task_id: Uuid,
    ordinal: i32,
    desktop_id: String,
    wave: i16,
    wave_status: String,
    outcome: Option<String>,
    exit_code: Option<i32>,
    signal: Option<i16>,
    ended_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Times {
    task_id: Uuid,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Wave {
    task_id: Uuid,
    wave: i16,
    failed: i32,
    tallied: Vec<i32>,
    counted: i64,
}

/// Waits until all tasks have ended, and checks every invariant.
pub(crate) async fn check_all(
    system: &System,
    accepted: &[Accepted],
    faults: &Faults,
) -> anyhow::Result<Findings> {
    let mut connection = PgConnection::connect(&system.database_url).await?;
    let mut findings = Findings::default();
    if let Some(left) = wait_for_the_end(&mut connection).await? {
        findings.violations.push(format!("{left} tasks have not ended {TIMEOUT:?} after the last fault"));
    }
    let tasks: Vec<Task> =
        sqlx::query_as("SELECT task_id, status, attempt, target_count, created_at FROM task")
            .fetch_all(&mut connection)
            .await?;
    for task in &tasks {
        *findings.tasks_by_status.entry(task.status.clone()).or_default() += 1;
    }
    check_accepted(&tasks, accepted, &mut findings.violations);
    let runs = oracle::read(&system.marks())?;
    findings.starts = runs.values().map(|marks| marks.starts as usize).sum();
    for (run, marks) in runs.iter().filter(|(_, marks)| marks.starts > 1) {
        findings.violations.push(format!("started {} times: {run:?}", marks.starts));
    }
    check_targets(&mut connection, &tasks, &runs, faults, &mut findings).await?;
    check_waves(&mut connection, accepted, &mut findings).await?;
    check_evidence(&mut connection, &mut findings).await?;
    check_times(&mut connection, &mut findings).await?;
    check_left_over(&mut connection, &mut findings).await?;
    Ok(findings)
}

async fn wait_for_the_end(connection: &mut PgConnection) -> anyhow::Result<Option<i64>> {
    let begun = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM task WHERE status NOT IN ('SUCCESS', 'FAILED', 'HALTED', 'STOPPED')",
        )
        .fetch_one(&mut *connection)
        .await?;
        if left == 0 {
            return Ok(None);
        }
        if begun.elapsed() > TIMEOUT {
            return Ok(Some(left));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Every task whose id was answered is there, and each was made once, however often it was asked
/// for.
fn check_accepted(tasks: &[Task], accepted: &[Accepted], violations: &mut Vec<String>) {
    let known: HashSet<String> = tasks.iter().map(|task| task.task_id.simple().to_string()).collect();
    for task in accepted.iter().filter(|task| !known.contains(&task.task_id)) {
        violations.push(format!("accepted and lost: {} ({})", task.task_id, task.kind));
    }
    let answered: HashSet<&str> = accepted.iter().map(|task| task.task_id.as_str()).collect();
    for task in known.iter().filter(|task| !answered.contains(task.as_str())) {
        violations.push(format!("created, but no request received its id: {task}"));
    }
}

async fn check_targets(
    connection: &mut PgConnection,
    tasks: &[Task],
    runs: &HashMap<Run, Marks>,
    faults: &Faults,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let targets: Vec<Target> = sqlx::query_as(
        "SELECT t.task_id, t.ordinal, t.desktop_id, t.wave, w.status AS wave_status, r.outcome::text AS outcome,
                r.exit_code, r.signal, r.ended_at, r.reason
         FROM target t JOIN wave w USING (task_id, wave)
         LEFT JOIN record r ON r.task_id = t.task_id AND r.ordinal = t.ordinal ORDER BY 1, 2",
    )
    .fetch_all(connection)
    .await?;
    let by_id: HashMap<Uuid, &Task> = tasks.iter().map(|task| (task.task_id, task)).collect();
    let mut number: HashMap<Uuid, i32> = HashMap::new();
    let none = Marks::default();
    for target in &targets {
        let Some(task) = by_id.get(&target.task_id) else { continue };
        *number.entry(target.task_id).or_default() += 1;
        let outcome = target.outcome.as_deref().unwrap_or("SKIPPED");
        *findings.targets_by_outcome.entry(outcome.to_owned()).or_default() += 1;
        let run = Run {
            desktop_id: target.desktop_id.clone(),
            task_id: target.task_id.simple().to_string(),
            attempt: task.attempt,
        };
        let marks = runs.get(&run).unwrap_or(&none);
        if let Some(wrong) = contradiction(task, target, outcome, marks, faults) {
            let at = format!("task {} target {} on {}", run.task_id, target.ordinal, target.desktop_id);
            let reason = target.reason.as_deref().unwrap_or_default();
            findings
                .violations
                .push(format!("{at}: {wrong} (wave {}, {outcome}, {reason:?}, {marks:?})", target.wave));
        }
    }
    for task in tasks {
        let seen = number.get(&task.task_id).copied().unwrap_or_default();
        if seen != task.target_count {
            findings.violations.push(format!(
                "task {}: {seen} targets with one outcome each, of {}",
                task.task_id.simple(),
                task.target_count
            ));
        }
    }
    Ok(())
}

/// Returns how a target's outcome contradicts the lines of its script; `None` without a
/// contradiction. The desktop that lies runs no scripts: its targets only have an outcome each.
fn contradiction(
    task: &Task,
    target: &Target,
    outcome: &str,
    marks: &Marks,
    faults: &Faults,
) -> Option<&'static str> {
    if target.desktop_id == LIAR {
        return is_lost(task, outcome).then_some(LOST);
    }
    let started = marks.starts > 0;
    if started && target.wave_status == "PENDING" {
        return Some("started in a wave that never opened");
    }
    match outcome {
        "SUCCESS" if marks.ends != [0] => Some("a success that its script knows nothing of"),
        "FAILED" if !started => Some("failed without a start"),
        "FAILED"
            if target.signal.is_none()
                && target.exit_code.is_some()
                && marks.ends != target.exit_code.as_slice() =>
        {
            Some("another exit code than its script's")
        }
        "TIMEOUT" if !started => Some("timed out without a start"),
        "UNDELIVERED" | "REJECTED" if started => Some("started although it is said that it did not"),
        "SKIPPED" if started => Some("started although it is SKIPPED"),
        "SKIPPED" if is_lost(task, outcome) => Some(LOST),
        "UNKNOWN"
            if !faults.explain_unknown(
                &target.desktop_id,
                task.created_at,
                target.ended_at.unwrap_or(task.created_at),
            ) =>
        {
            Some("UNKNOWN although nothing happened to its agent")
        }
        _ => None,
    }
}

const LOST: &str = "no outcome, in a task that was not cut short";

fn is_lost(task: &Task, outcome: &str) -> bool {
    outcome == "SKIPPED" && matches!(task.status.as_str(), "SUCCESS" | "FAILED")
}

/// No wave opened on a wave without a success, unless a person approved it.
async fn check_evidence(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<()> {
    let opened: Vec<(Uuid, i16)> = sqlx::query_as(
        "SELECT w.task_id, w.wave FROM wave w
         WHERE w.wave > 1 AND w.opened_at IS NOT NULL AND w.approved_at IS NULL
           AND NOT EXISTS (
               SELECT FROM record r JOIN target t USING (task_id, ordinal)
               WHERE r.task_id = w.task_id AND t.wave = w.wave - 1 AND r.outcome = 'SUCCESS')",
    )
    .fetch_all(connection)
    .await?;
    let violation = |(task_id, wave): (Uuid, i16)| {
        format!("task {}: wave {wave} opened, and nothing before it succeeded", task_id.simple())
    };
    findings.violations.extend(opened.into_iter().map(violation));
    Ok(())
}

/// Tallies are what the records say; a strict rollout kept to its threshold.
async fn check_waves(
    connection: &mut PgConnection,
    accepted: &[Accepted],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let waves: Vec<Wave> = sqlx::query_as(
        "SELECT w.task_id, w.wave, w.failed, w.target_tally AS tallied,
                (SELECT count(DISTINCT r.ordinal) FROM record r
                 WHERE r.task_id = w.task_id AND r.ordinal >= w.first_ordinal AND r.ordinal < w.first_ordinal + w.size)
                    AS counted
         FROM wave w",
    )
    .fetch_all(connection)
    .await?;
    let strict: HashSet<&str> =
        accepted.iter().filter(|task| task.kind == "strict").map(|task| task.task_id.as_str()).collect();
    for wave in waves {
        let at = format!("task {} wave {}", wave.task_id.simple(), wave.wave);
        let tallied: i64 = wave.tallied.iter().map(|&number| i64::from(number)).sum();
        if tallied != wave.counted {
            findings
                .violations
                .push(format!("{at}: {tallied} targets tallied, {} with records", wave.counted));
        }
        let is_strict = strict.contains(wave.task_id.simple().to_string().as_str());
        if is_strict && i64::from(wave.failed) > STRICT_THRESHOLD {
            findings.violations.push(format!("{at}: {} failed in strict mode", wave.failed));
        }
    }
    Ok(())
}

/// Compares times of the database, which no shifted clock affects. A link that stalls for five
/// seconds shifts a reported time by up to half of that. There are three links between agent and
/// database. The times of the desktop that lies are its own.
async fn check_times(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<()> {
    let wrong: Vec<Times> = sqlx::query_as(
        "SELECT k.task_id, k.created_at, r.started_at, r.ended_at FROM task k LEFT JOIN record r USING (task_id)
         LEFT JOIN target t USING (task_id, ordinal)
         WHERE k.created_at NOT BETWEEN pg_postmaster_start_time() - interval '1 day' AND now() + interval '10 s'
            OR t.desktop_id <> $1 AND (
                r.started_at NOT BETWEEN k.created_at - interval '10 s' AND now() + interval '10 s'
                OR r.ended_at NOT BETWEEN coalesce(r.started_at, k.created_at) - interval '10 s'
                                      AND now() + interval '10 s')",
    )
    .bind(LIAR)
    .fetch_all(connection)
    .await?;
    for Times { task_id, created_at, started_at, ended_at } in wrong {
        let times = format!("created {created_at}, started {started_at:?}, ended {ended_at:?}");
        findings.violations.push(format!("task {}: times that cannot be: {times}", task_id.simple()));
    }
    Ok(())
}

/// Nothing of a task that has ended waits for anything.
async fn check_left_over(connection: &mut PgConnection, findings: &mut Findings) -> anyhow::Result<()> {
    for table in ["awaited_return", "batch", "deferred_target", "target_stop"] {
        let statement = format!("SELECT count(*) FROM {table}");
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&mut *connection).await?;
        if left > 0 {
            findings.violations.push(format!("{left} rows are left in {table}"));
        }
    }
    Ok(())
}
