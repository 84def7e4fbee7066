//! Targets: read by admission and by people. They are written once, with the plan.

use std::collections::HashMap;

use domain::{
    Timestamp,
    explain::{AwaitedState, DeliveryState, TargetHistory, Waits},
    ids::{BatchId, ProjectId, TaskId},
    retry::Remainder,
    return_condition::ReturnCondition,
    warning::{self, Canaries},
};

use engine::{
    TargetDetail,
    row::{TargetLease, TargetRow},
};
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, int4, text_id},
    presence::RawPresence,
};

/// Reads the first script of those targets that do not begin with the first one.
pub async fn first_scripts(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<HashMap<u32, u16>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query!(
        "SELECT ordinal, first_script FROM target WHERE task_id = $1 AND ordinal = ANY($2) AND first_script > 0",
        task_id.0,
        &ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((count("target", row.ordinal)?, count("target", row.first_script)?)))
        .collect()
}

/// Returns the targets of an ended task that did not succeed, in the order of the plan. Excludes
/// targets that were retried as single records, and retired desktops.
///
/// Scripts run in order and stop at the first that does not succeed. The number of successes is
/// therefore the script at which a retry starts.
pub async fn remainder(connection: &mut Connection, task_id: TaskId) -> Result<Vec<Remainder>, Error> {
    let rows = sqlx::query!(
        r#"SELECT t.desktop_id, greatest(t.first_script, coalesce(done.successes, 0)) AS "first_script!"
           FROM target t
           JOIN task k USING (task_id)
           LEFT JOIN (SELECT ordinal, count(*)::int2 AS successes FROM record
                      WHERE task_id = $1 AND outcome = 'SUCCESS' GROUP BY ordinal) AS done USING (ordinal)
           WHERE t.task_id = $1 AND coalesce(done.successes, 0) < k.script_count
             AND NOT EXISTS (SELECT FROM task later WHERE later.retry_of = $1 AND later.retry_of_ordinal = t.ordinal)
             AND NOT EXISTS (SELECT FROM desktop d WHERE d.project_id = k.project_id AND d.desktop_id = t.desktop_id
                                 AND d.retired_at IS NOT NULL)
           ORDER BY t.ordinal"#,
        task_id.0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Remainder {
                desktop_id: text_id("target", row.desktop_id)?,
                first_script: count("target", row.first_script)?,
            })
        })
        .collect()
}

/// Columns of a target for the rollout engine.
struct RawState {
    ordinal: i32,
    desktop_id: String,
    first_script: i16,
    has_ended: bool,
    awaited: Option<i16>,
    is_resumed: Option<bool>,
    stop: Option<i16>,
    worker_id: Option<String>,
    draining: Option<bool>,
    time_zone: Option<String>,
    agent_id: Option<String>,
    changed_at: Option<Timestamp>,
    full_until: Option<Timestamp>,
    is_retired: Option<bool>,
    is_revoked: Option<bool>,
    has_backlog: Option<bool>,
    batch_id: Option<Uuid>,
    leased_by: Option<String>,
    delivered_to: Option<String>,
}

impl TryFrom<RawState> for TargetRow {
    type Error = Error;

    fn try_from(raw: RawState) -> Result<Self, Error> {
        let RawState { worker_id, draining, time_zone, agent_id, changed_at, full_until, .. } = raw;
        let RawState { is_retired, is_revoked, has_backlog, .. } = raw;
        let lease = raw.batch_id.zip(raw.leased_by).map(|(batch_id, leased_by)| {
            Ok::<_, Error>(TargetLease {
                batch_id: BatchId(batch_id),
                worker_id: text_id("batch", leased_by)?,
                agent_id: raw.delivered_to.unwrap_or_default(),
            })
        });
        Ok(Self {
            lease: lease.transpose()?,
            ordinal: count("target", raw.ordinal)?,
            desktop_id: text_id("target", raw.desktop_id)?,
            first_script: count("target", raw.first_script)?,
            has_ended: raw.has_ended,
            awaited: raw.awaited.map(|results| count("awaited_return", results)).transpose()?,
            is_resumed: raw.is_resumed.unwrap_or(false),
            stop: raw.stop.map(|script| count("target_stop", script)).transpose()?,
            presence: RawPresence {
                worker_id,
                draining,
                time_zone,
                agent_id,
                boot_id: None,
                agent_version: None,
                changed_at,
                full_until,
                is_retired,
                is_revoked,
                has_backlog,
            }
            .presence()?,
        })
    }
}

/// Reads targets by ordinal.
pub(crate) async fn states(
    connection: &mut Connection,
    task_id: TaskId,
    project_id: &ProjectId,
    ordinals: &[u32],
    detail: TargetDetail<'_>,
) -> Result<Vec<TargetRow>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let raw = match detail {
        TargetDetail::Plain => with_leases(connection, task_id, &ordinals, &[]).await?,
        TargetDetail::Leases(batch_ids) => with_leases(connection, task_id, &ordinals, batch_ids).await?,
        TargetDetail::Presence => with_presence(connection, task_id, project_id, &ordinals).await?,
    };
    raw.into_iter().map(TargetRow::try_from).collect()
}

// In the two statements below, `LIMIT 1` in each lateral subquery makes the planner look rows up by
// their keys. The statistics of a new task's rows are wrong for minutes, and a plan that scans
// instead costs every report as much as the whole task or the whole fleet.

/// Reads targets with their leases by these batches.
async fn with_leases(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[i32],
    batch_ids: &[BatchId],
) -> Result<Vec<RawState>, Error> {
    let batch_ids: Vec<Uuid> = batch_ids.iter().map(|batch_id| batch_id.0).collect();
    let raw = sqlx::query_as!(
        RawState,
        r#"SELECT t.ordinal, t.desktop_id, t.first_script, r.task_id IS NOT NULL AS "has_ended!", x.script AS "stop?",
                  CASE WHEN NOT a.resumed THEN a.results END AS awaited, a.resumed AS "is_resumed?",
                  NULL::text AS worker_id, NULL::bool AS draining, NULL::text AS time_zone, NULL::text AS agent_id,
                  NULL::timestamptz AS changed_at, NULL::timestamptz AS full_until, NULL::bool AS is_retired,
                  NULL::bool AS is_revoked, NULL::bool AS has_backlog, l.batch_id AS "batch_id?",
                  l.worker_id AS "leased_by?", l.agent_id AS "delivered_to?"
           FROM unnest($2::int4[]) AS n (ordinal)
           CROSS JOIN LATERAL (SELECT ordinal, desktop_id, first_script FROM target
                               WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS t
           LEFT JOIN LATERAL (SELECT task_id FROM record
                              WHERE task_id = $1 AND ordinal = n.ordinal AND script = 0 LIMIT 1) AS r ON true
           LEFT JOIN LATERAL (SELECT script FROM target_stop
                              WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS x ON true
           LEFT JOIN LATERAL (SELECT results, resumed FROM awaited_return
                              WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS a ON true
           LEFT JOIN (SELECT b.batch_id, b.worker_id, m.ordinal, m.agent_id
                      FROM unnest($3::uuid[]) AS i (batch_id)
                      CROSS JOIN LATERAL (SELECT batch_id, worker_id, ordinals, agent_ids FROM batch
                                          WHERE task_id = $1 AND batch_id = i.batch_id AND status = 'LEASED' LIMIT 1) AS b
                      CROSS JOIN LATERAL unnest(b.ordinals, b.agent_ids) AS m (ordinal, agent_id)) AS l
               ON l.ordinal = n.ordinal
           ORDER BY n.ordinal"#,
        task_id.0,
        ordinals,
        &batch_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(raw)
}

/// Reads targets with the presence of their desktops.
async fn with_presence(
    connection: &mut Connection,
    task_id: TaskId,
    project_id: &ProjectId,
    ordinals: &[i32],
) -> Result<Vec<RawState>, Error> {
    let raw = sqlx::query_as!(
        RawState,
        r#"SELECT t.ordinal, t.desktop_id, t.first_script, r.task_id IS NOT NULL AS "has_ended!", x.script AS "stop?",
                  CASE WHEN NOT a.resumed THEN a.results END AS awaited, a.resumed AS "is_resumed?",
                  w.worker_id AS "worker_id?", w.draining AS "draining?", d.time_zone AS "time_zone?",
                  d.agent_id AS "agent_id?", d.presence_at AS "changed_at?", d.full_until AS "full_until?",
                  d.retired_at IS NOT NULL AS is_retired, d.revoked_at IS NOT NULL AS is_revoked,
                  NULL::bool AS has_backlog, NULL::uuid AS batch_id, NULL::text AS leased_by, NULL::text AS delivered_to
           FROM unnest($3::int4[]) AS n (ordinal)
           CROSS JOIN LATERAL (SELECT ordinal, desktop_id, first_script FROM target
                               WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS t
           LEFT JOIN LATERAL (SELECT task_id FROM record
                              WHERE task_id = $1 AND ordinal = n.ordinal AND script = 0 LIMIT 1) AS r ON true
           LEFT JOIN LATERAL (SELECT script FROM target_stop
                              WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS x ON true
           LEFT JOIN LATERAL (SELECT results, resumed FROM awaited_return
                              WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS a ON true
           LEFT JOIN LATERAL (SELECT worker_id, time_zone, agent_id, presence_at, full_until, retired_at, revoked_at
                              FROM desktop WHERE project_id = $2 AND desktop_id = t.desktop_id LIMIT 1) AS d ON true
           LEFT JOIN worker w ON w.worker_id = d.worker_id
           ORDER BY n.ordinal"#,
        task_id.0,
        project_id.as_str(),
        ordinals,
    )
    .fetch_all(connection)
    .await?;
    Ok(raw)
}

/// Reads a run of targets that are not admitted yet, with the presence of their desktops.
pub(crate) async fn next_states(
    connection: &mut Connection,
    task_id: TaskId,
    project_id: &ProjectId,
    first: u32,
    number: u32,
) -> Result<Vec<TargetRow>, Error> {
    let raw = sqlx::query_as!(
        RawState,
        r#"SELECT t.ordinal, t.desktop_id, t.first_script, false AS "has_ended!", x.script AS "stop?", NULL::int2 AS awaited, NULL::bool AS is_resumed,
                  w.worker_id AS "worker_id?", w.draining AS "draining?", d.time_zone AS "time_zone?",
                  d.agent_id AS "agent_id?", d.presence_at AS "changed_at?", d.full_until AS "full_until?",
                  d.retired_at IS NOT NULL AS is_retired, d.revoked_at IS NOT NULL AS is_revoked,
                  -- Earlier targets go first to a desktop that lacked room.
                  d.full_until IS NOT NULL AND EXISTS (
                      SELECT FROM deferred_target e WHERE e.project_id = d.project_id AND e.desktop_id = d.desktop_id
                          AND NOT e.maybe_delivered AND NOT e.suspended AND e.not_before IS NULL) AS has_backlog,
                  NULL::uuid AS batch_id,
                  NULL::text AS leased_by, NULL::text AS delivered_to
           FROM target t
           LEFT JOIN target_stop x ON x.task_id = $1 AND x.ordinal = t.ordinal
           LEFT JOIN LATERAL (SELECT project_id, desktop_id, worker_id, time_zone, agent_id, presence_at, full_until,
                                     retired_at, revoked_at
                              FROM desktop WHERE project_id = $2 AND desktop_id = t.desktop_id LIMIT 1) AS d ON true
           LEFT JOIN worker w ON w.worker_id = d.worker_id
           WHERE t.task_id = $1 AND t.ordinal >= $3 AND t.ordinal < $3 + $4
           ORDER BY t.ordinal"#,
        task_id.0,
        project_id.as_str(),
        int4(first),
        int4(number),
    )
    .fetch_all(connection)
    .await?;
    raw.into_iter().map(TargetRow::try_from).collect()
}

/// A target in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTarget {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Id of the desktop.
    pub desktop_id: String,
    /// Wave of the target.
    pub wave: u16,
    /// First script to run. Scripts before this place succeeded in an earlier task.
    pub first_script: u16,
}

/// Lists targets of a task in the order of the plan, starting after an ordinal.
pub async fn page(
    connection: &mut Connection,
    task_id: TaskId,
    after: Option<u32>,
    limit: i64,
) -> Result<Vec<ListedTarget>, Error> {
    let rows = sqlx::query!(
        "SELECT ordinal, desktop_id, wave, first_script FROM target
         WHERE task_id = $1 AND ($2::int4 IS NULL OR ordinal > $2) ORDER BY ordinal LIMIT $3",
        task_id.0,
        after.map(int4),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ListedTarget {
                ordinal: count("target", row.ordinal)?,
                desktop_id: row.desktop_id,
                wave: count("target", row.wave)?,
                first_script: count("target", row.first_script)?,
            })
        })
        .collect()
}

/// Returns the first `limit` desktops of each task in the order of the plan, of the gray wave only
/// or of all waves.
pub async fn desktop_ids(
    connection: &mut Connection,
    task_ids: &[TaskId],
    gray_only: bool,
    limit: i64,
) -> Result<Vec<(TaskId, String)>, Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT k.task_id AS "task_id!", t.desktop_id AS "desktop_id!"
           FROM unnest($1::uuid[]) AS k (task_id)
           CROSS JOIN LATERAL (
               SELECT desktop_id, ordinal FROM target
               -- The gray wave comes first in the plan.
               WHERE target.task_id = k.task_id
                 AND (NOT $2 OR ordinal < (SELECT size FROM wave WHERE wave.task_id = k.task_id AND wave.wave = 1))
               ORDER BY ordinal LIMIT $3
           ) AS t
           ORDER BY k.task_id, t.ordinal"#,
        &ids,
        gray_only,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (TaskId(row.task_id), row.desktop_id)).collect())
}

/// Counts the offline desktops of a gray wave with `total` targets, and names the first of them.
pub async fn canaries(connection: &mut Connection, task_id: TaskId, total: u32) -> Result<Canaries, Error> {
    let rows = sqlx::query!(
        r#"SELECT t.desktop_id, count(*) OVER () AS "offline!"
           FROM target t JOIN task k USING (task_id)
           JOIN desktop d ON d.project_id = k.project_id AND d.desktop_id = t.desktop_id
           LEFT JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
           WHERE t.task_id = $1 AND t.ordinal < $2 AND w.worker_id IS NULL
           ORDER BY t.ordinal LIMIT $3"#,
        task_id.0,
        int4(total),
        i64::try_from(warning::MAX_NAMED).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    let offline = rows.first().map_or(Ok(0), |row| count("target", row.offline))?;
    Ok(Canaries { total, offline, named: rows.into_iter().map(|row| row.desktop_id).collect() })
}

/// Reads the history of one target: its whereabouts and the reasons. `None` if the task has no such
/// desktop.
pub async fn story(
    connection: &mut Connection,
    task_id: TaskId,
    desktop_id: &str,
    now: Timestamp,
) -> Result<Option<TargetHistory>, Error> {
    let row = sqlx::query!(
        r#"SELECT t.ordinal, t.wave, t.first_script, d.worker_id AS "online_at?",
                  (SELECT p->>'reason' FROM jsonb_array_elements(k.plan_picks) AS p
                   WHERE (p->>'ordinal')::int8 = t.ordinal LIMIT 1) AS pick,
                  s.deliver_by AS "waits_until?", s.not_before AS "not_before?", s.suspended AS "deferred_target_held?",
                  s.worker_deaths AS "worker_deaths?", CASE WHEN d.full_until > $3 THEN s.wait_until END AS busy_until,
                  b.worker_id AS "worker_id?", b.status AS "batch_status?", b.created_at AS "cut_at?", b.suspended AS "batch_suspended?",
                  x.created_at AS "stop_asked_at?", a.boot_id AS "before?", a.agent_version AS "wanted?",
                  a.return_by AS "return_by?", a.results AS "results?"
           FROM target t JOIN task k USING (task_id)
           LEFT JOIN desktop d ON d.project_id = k.project_id AND d.desktop_id = t.desktop_id
           LEFT JOIN deferred_target s ON s.task_id = t.task_id AND s.ordinal = t.ordinal
           LEFT JOIN target_stop x ON x.task_id = t.task_id AND x.ordinal = t.ordinal
           LEFT JOIN awaited_return a ON a.task_id = t.task_id AND a.ordinal = t.ordinal AND NOT a.resumed
           LEFT JOIN batch b ON b.task_id = t.task_id AND t.ordinal = ANY(b.ordinals)
           WHERE t.desktop_id = $2 AND t.task_id = $1 LIMIT 1"#,
        task_id.0,
        desktop_id,
        now,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(TargetHistory {
            ordinal: count("target", row.ordinal)?,
            wave: count("target", row.wave)?,
            first_script: count("target", row.first_script)?,
            pick: row.pick,
            online_at: row.online_at,
            waits: row.waits_until.map(|until| Waits {
                until,
                not_before: row.not_before,
                busy_until: row.busy_until,
                is_suspended: row.deferred_target_held.unwrap_or(false),
                worker_deaths: row
                    .worker_deaths
                    .and_then(|worker_deaths| u16::try_from(worker_deaths).ok())
                    .unwrap_or_default(),
            }),
            returns: row
                .return_by
                .zip(row.results)
                .map(|(return_by, results)| {
                    let condition =
                        ReturnCondition { another_boot_than: row.before, agent_version: row.wanted };
                    let results = count("awaited_return", results)?;
                    Ok::<_, Error>(AwaitedState { condition, return_by, results })
                })
                .transpose()?,
            handed: row.worker_id.zip(row.cut_at).map(|(worker_id, cut_at)| DeliveryState {
                worker_id,
                cut_at,
                is_leased: row.batch_status.as_deref() == Some("LEASED"),
                is_suspended: row.batch_suspended.unwrap_or(false),
            }),
            stop_asked_at: row.stop_asked_at,
        })
    })
    .transpose()
}
