//! Lost batches: without a holder, past a deadline, or with a desktop that cannot connect any more.
//! The statements only find candidates. The conditions of [`engine::row::BatchRow`] decide under
//! the locks.
//!
//! Each task has its share of the limit, as with deferred targets: a task that fails keeps its
//! batches due.

use chrono::TimeDelta;
use domain::Timestamp;
use engine::{DueTimes, Duty, DutyKind};

use crate::{Connection, Error, duty::find_duties};

/// Finds batches whose lease ended by `observed_until`, and ready ones whose worker is unknown.
pub(crate) async fn orphaned(
    connection: &mut Connection,
    observed_until: Timestamp,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::Reclaim,
        connection,
        r#"SELECT task_id AS "task_id!", batch_id AS "batch_id?", ordinals AS "ordinals!" FROM (
             SELECT task_id, batch_id, ordinals, created_at FROM batch WHERE status = 'LEASED' AND lease_until <= $1
             UNION ALL
             SELECT task_id, batch_id, ordinals, created_at FROM batch b WHERE status = 'READY'
                AND NOT EXISTS (SELECT FROM worker w WHERE w.worker_id = b.worker_id AND NOT w.draining)) AS lost
         ORDER BY row_number() OVER (PARTITION BY task_id ORDER BY created_at, batch_id), random()
         LIMIT $2"#,
        observed_until,
        limit,
    )
}

/// Finds batches past a deadline: undelivered ones by `deliver_by` at `now`, all others by
/// `finish_by` at `observed_until`. Deadlines of suspended batches do not count.
pub(crate) async fn overdue_batches(
    connection: &mut Connection,
    times: DueTimes,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::OverdueBatch,
        connection,
        r#"SELECT task_id AS "task_id!", batch_id AS "batch_id?", ordinals AS "ordinals!" FROM (
             SELECT task_id, batch_id, ordinals, created_at FROM batch WHERE finish_by <= $2 AND NOT suspended
             UNION ALL
             SELECT task_id, batch_id, ordinals, created_at FROM batch
             WHERE status = 'READY' AND NOT maybe_delivered AND NOT suspended AND deliver_by <= $1 AND finish_by > $2)
             AS overdue
         ORDER BY row_number() OVER (PARTITION BY task_id ORDER BY created_at, batch_id), random()
         LIMIT $3"#,
        times.now,
        times.observed_until,
        limit,
    )
}

/// Time after the retirement or revocation of a desktop in which ready batches are searched for it:
/// later ones are formed without the desktop.
const READY_FOR: TimeDelta = TimeDelta::minutes(1);

/// Finds ready batches that were never delivered and have a desktop that went out of service.
pub(crate) async fn out_of_service(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::OutOfService,
        connection,
        r#"SELECT task_id AS "task_id!", batch_id AS "batch_id?", ordinals AS "ordinals!" FROM (
             SELECT DISTINCT ON (b.task_id, b.batch_id) b.task_id, b.batch_id, b.ordinals, b.created_at
             FROM batch b JOIN task k USING (task_id) CROSS JOIN unnest(b.desktop_ids) AS m (desktop_id)
             JOIN (SELECT project_id, desktop_id FROM desktop WHERE retired_at > $1
                   UNION SELECT project_id, desktop_id FROM desktop WHERE revoked_at > $1) AS gone
                 ON gone.project_id = k.project_id AND gone.desktop_id = m.desktop_id
             -- Reads no batch while all desktops are in service, as most of the time.
             WHERE EXISTS (SELECT FROM desktop WHERE retired_at > $1 OR revoked_at > $1)
               AND b.status = 'READY' AND NOT b.maybe_delivered AND NOT b.suspended) AS lost
         ORDER BY row_number() OVER (PARTITION BY task_id ORDER BY created_at, batch_id), random()
         LIMIT $2"#,
        now - READY_FOR,
        limit,
    )
}
