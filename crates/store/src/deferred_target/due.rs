//! Due deferred targets, by task. The statements only find candidates. The conditions of
//! [`DeferredRow`] decide under the locks.
//!
//! Candidates may stay due, because no slot is free or their task fails. So each task has its share
//! of the limit: the first targets of all tasks come before the second ones. Chance decides among
//! equal ones, so that more tasks than the limit take turns.

use domain::{Timestamp, quarantine};
use engine::{DueTimes, Duty, DutyKind, row::DeferredRow};

use crate::{
    Connection, Error,
    codec::int2,
    duty::{OUT_OF_SERVICE_FOR, find_duties},
};

/// Finds targets that may be dispatched now: their desktop is connected, has room, and connected
/// before their deadline.
pub(crate) async fn reachable(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::HandOut,
        connection,
        r#"SELECT task_id, NULL::uuid AS batch_id, array_agg(ordinal ORDER BY ordinal) AS "ordinals!" FROM (
               SELECT s.task_id, s.ordinal FROM deferred_target s
               JOIN desktop d USING (project_id, desktop_id)
               JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
               WHERE NOT s.suspended AND (s.not_before IS NULL OR s.not_before <= $2)
                 AND (s.maybe_delivered OR d.presence_at < s.deliver_by) AND s.worker_deaths < $3
                 AND (d.full_until IS NULL OR d.full_until <= $2)
               ORDER BY row_number() OVER (PARTITION BY s.task_id ORDER BY s.ordinal), random()
               LIMIT $1) AS found
           -- The targets of a desktop that lacked room go in the order of their tasks.
           GROUP BY task_id ORDER BY task_id"#,
        limit,
        now,
        int2(quarantine::QUARANTINE_AFTER),
    )
}

/// Finds targets past their deadline, and undelivered ones whose desktop is out of service, except
/// suspended ones. Missing results are overdue only up to `observed_until`.
pub(crate) async fn overdue_targets(
    connection: &mut Connection,
    times: DueTimes,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::OverdueDeferred,
        connection,
        r#"SELECT task_id AS "task_id!", NULL::uuid AS batch_id, array_agg(ordinal ORDER BY ordinal) AS "ordinals!" FROM (
               SELECT task_id, ordinal FROM (
                   SELECT task_id, ordinal, deliver_by FROM deferred_target
                   WHERE deliver_by <= $1 AND NOT suspended AND (NOT maybe_delivered OR finish_by <= $2)
                   UNION
                   SELECT s.task_id, s.ordinal, s.deliver_by
                   FROM (SELECT project_id, desktop_id FROM desktop WHERE retired_at > $4
                         UNION SELECT project_id, desktop_id FROM desktop WHERE revoked_at > $4) AS gone
                   JOIN deferred_target s USING (project_id, desktop_id)
                   WHERE NOT s.suspended AND NOT s.maybe_delivered) AS due
               ORDER BY row_number() OVER (PARTITION BY task_id ORDER BY deliver_by, ordinal), random()
               LIMIT $3) AS found
           GROUP BY task_id"#,
        times.now,
        times.observed_until,
        limit,
        times.now - OUT_OF_SERVICE_FOR,
    )
}

/// Finds targets that only wait for a slot or for their busy desktop, and whose deadline is near.
pub(crate) async fn nearly_overdue(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::PutOff,
        connection,
        r#"SELECT task_id, NULL::uuid AS batch_id, array_agg(ordinal ORDER BY ordinal) AS "ordinals!" FROM (
               SELECT s.task_id, s.ordinal FROM deferred_target s JOIN desktop d USING (project_id, desktop_id)
               LEFT JOIN worker w ON w.worker_id = d.worker_id
               WHERE s.deliver_by <= $1 AND NOT s.maybe_delivered AND NOT s.suspended
                 AND (s.not_before IS NULL OR s.not_before <= $2)
                 AND d.worker_id IS NOT NULL AND d.presence_at < s.deliver_by
                 AND ((d.full_until IS NULL OR d.full_until <= $2) AND w.draining IS NOT TRUE OR s.wait_until > $2)
               ORDER BY row_number() OVER (PARTITION BY s.task_id ORDER BY s.deliver_by, s.ordinal), random()
               LIMIT $3) AS found
           GROUP BY task_id"#,
        DeferredRow::near(now),
        now,
        limit,
    )
}
