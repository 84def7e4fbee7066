//! Deferred targets (table `deferred_target`): admitted, and waiting for their desktop, their
//! window or a slot.

mod due;
mod update;

use domain::{Timestamp, batching::Member, deadline::Deadlines, ids::TaskId, quarantine};
pub(crate) use due::{nearly_overdue, overdue_targets, reachable};
use engine::row::{BatchTerms, DeferredRow};
pub(crate) use update::apply;

use crate::{
    Connection, Error,
    codec::{count, int2, int4, started, text_id},
    presence::RawPresence,
};

struct Raw {
    ordinal: i32,
    desktop_id: String,
    delivered_to: String,
    wave: i16,
    maybe_delivered: bool,
    worker_deaths: i16,
    deliver_by: Timestamp,
    finish_by: Timestamp,
    wait_until: Timestamp,
    started_script: Option<i16>,
    started_at: Option<Timestamp>,
    suspended: bool,
    not_before: Option<Timestamp>,
    stop: Option<i16>,
    worker_id: Option<String>,
    draining: Option<bool>,
    time_zone: Option<String>,
    agent_id: Option<String>,
    changed_at: Option<Timestamp>,
    full_until: Option<Timestamp>,
    is_retired: Option<bool>,
    is_revoked: Option<bool>,
}

impl Raw {
    fn row(self, task_id: TaskId) -> Result<DeferredRow, Error> {
        let Self { worker_id, draining, time_zone, agent_id, changed_at, full_until, .. } = self;
        let Self { is_retired, is_revoked, .. } = self;
        Ok(DeferredRow {
            member: Member {
                ordinal: count("deferred_target", self.ordinal)?,
                desktop_id: text_id("deferred_target", self.desktop_id)?,
                agent_id: self.delivered_to,
                started: started("deferred_target", self.started_script.zip(self.started_at))?,
            },
            terms: BatchTerms {
                task_id,
                wave: count("deferred_target", self.wave)?,
                deadlines: Deadlines { deliver_by: self.deliver_by, finish_by: self.finish_by },
                wait_until: self.wait_until,
                maybe_delivered: self.maybe_delivered,
                worker_deaths: count("deferred_target", self.worker_deaths)?,
            },
            suspended: self.suspended,
            not_before: self.not_before,
            stop: self.stop.map(|script| count("target_stop", script)).transpose()?,
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
                has_backlog: None,
            }
            .presence()?,
        })
    }
}

fn rows(raw: Vec<Raw>, task_id: TaskId) -> Result<Vec<DeferredRow>, Error> {
    raw.into_iter().map(|raw| raw.row(task_id)).collect()
}

/// Reads deferred targets by ordinal.
pub(crate) async fn fetch(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<Vec<DeferredRow>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT s.ordinal, s.desktop_id, s.agent_id AS delivered_to, s.wave, s.maybe_delivered, s.worker_deaths, s.deliver_by,
                  s.finish_by, s.wait_until, s.started_script, s.started_at, s.suspended, s.not_before, x.script AS "stop?", w.worker_id AS "worker_id?",
                  w.draining AS "draining?", d.time_zone AS "time_zone?", d.agent_id AS "agent_id?",
                  d.presence_at AS "changed_at?", d.full_until AS "full_until?",
                  d.retired_at IS NOT NULL AS is_retired, d.revoked_at IS NOT NULL AS is_revoked
           FROM deferred_target s
           LEFT JOIN target_stop x ON x.task_id = s.task_id AND x.ordinal = s.ordinal
           LEFT JOIN desktop d ON d.project_id = s.project_id AND d.desktop_id = s.desktop_id
           LEFT JOIN worker w ON w.worker_id = d.worker_id
           WHERE s.task_id = $1 AND s.ordinal = ANY($2) ORDER BY s.ordinal"#,
        task_id.0,
        &ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows(raw, task_id)
}

/// Reads the suspended deferred targets of a task, without the workers of their desktops.
pub(crate) async fn suspended(
    connection: &mut Connection,
    task_id: TaskId,
) -> Result<Vec<DeferredRow>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT s.ordinal, s.desktop_id, s.agent_id AS delivered_to, s.wave, s.maybe_delivered, s.worker_deaths, s.deliver_by,
                  s.finish_by, s.wait_until, s.started_script, s.started_at, s.suspended, s.not_before, NULL::int2 AS stop,
                  NULL::text AS worker_id, NULL::bool AS draining, d.time_zone AS "time_zone?", d.agent_id AS "agent_id?",
                  d.presence_at AS "changed_at?", d.full_until AS "full_until?",
                  d.retired_at IS NOT NULL AS is_retired, d.revoked_at IS NOT NULL AS is_revoked
           FROM deferred_target s LEFT JOIN desktop d ON d.project_id = s.project_id AND d.desktop_id = s.desktop_id
           WHERE s.task_id = $1 AND s.suspended ORDER BY s.ordinal"#,
        task_id.0,
    )
    .fetch_all(connection)
    .await?;
    rows(raw, task_id)
}

/// Reads deferred targets of a wave whose desktop is connected and that may be dispatched now, in
/// the order of the plan. Returns all that may have been delivered, and at most `limit` undelivered
/// ones.
pub(crate) async fn reachable_of_wave(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<DeferredRow>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT c.ordinal, c.desktop_id, c.delivered_to, c.wave, c.maybe_delivered, c.worker_deaths, c.deliver_by, c.finish_by, c.wait_until,
                  c.started_script, c.started_at, c.suspended, c.not_before, x.script AS "stop?", c.worker_id AS "worker_id?", c.draining AS "draining?",
                  c.time_zone AS "time_zone?", c.agent_id AS "agent_id?", c.presence_at AS "changed_at?",
                  c.full_until AS "full_until?", NULL::bool AS is_retired, NULL::bool AS is_revoked
           FROM (
               SELECT s.ordinal, s.desktop_id, s.agent_id AS delivered_to, s.wave, s.maybe_delivered, s.worker_deaths, s.deliver_by,
                      s.finish_by, s.wait_until, s.started_script, s.started_at, s.suspended, s.not_before, w.worker_id, w.draining,
                      d.time_zone, d.agent_id, d.presence_at, d.full_until,
                      row_number() OVER (PARTITION BY s.maybe_delivered ORDER BY s.ordinal) AS place
               FROM deferred_target s
               JOIN desktop d USING (project_id, desktop_id)
               JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
               WHERE s.task_id = $1 AND s.wave = $2 AND NOT s.suspended AND (s.not_before IS NULL OR s.not_before <= $4)
                 AND (s.maybe_delivered OR d.presence_at < s.deliver_by) AND s.worker_deaths < $5
                 AND (d.full_until IS NULL OR d.full_until <= $4)
           ) AS c
           LEFT JOIN target_stop x ON x.task_id = $1 AND x.ordinal = c.ordinal
           WHERE c.maybe_delivered OR c.place <= $3
           ORDER BY c.ordinal"#,
        task_id.0,
        int2(wave),
        i64::from(limit),
        now,
        int2(quarantine::QUARANTINE_AFTER),
    )
    .fetch_all(connection)
    .await?;
    rows(raw, task_id)
}
