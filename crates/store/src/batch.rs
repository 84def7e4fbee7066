//! Batches: one row for hundreds of targets; leased to a worker, fenced by an epoch, deleted when done.

mod claim;
mod lost;

pub use claim::{Reported, claims};
use domain::{
    Timestamp,
    cut::Member,
    deadline::Deadlines,
    ids::{BatchId, DesktopId, TaskId, WorkerId},
    suspect,
};
pub(crate) use lost::take_held;
pub use lost::{Lost, Reclaimed, end_leases_of, orphaned, overdue, reclaim, take_overdue};
use uuid::Uuid;

use crate::{
    Connection, Error,
    task::TaskFacts,
    values::{count, int2, int4, text_id},
};

/// A batch about to be stored.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Its id.
    pub batch_id: BatchId,
    /// Who is to reach its targets.
    pub worker_id: WorkerId,
    /// Its targets.
    pub members: Vec<Member>,
}

/// What the batches of one cut share.
#[derive(Debug, Clone, Copy)]
pub struct BatchTerms {
    /// Their task.
    pub task_id: TaskId,
    /// Their wave.
    pub wave: u16,
    /// Their targets' deadlines.
    pub deadlines: Deadlines,
    /// Whether an earlier lease may have handed their targets out.
    pub maybe_handed: bool,
    /// Workers that died while they held their targets.
    pub losses: u16,
}

/// A batch in a worker's hands.
#[derive(Debug, Clone)]
pub struct BatchRow {
    /// Its id.
    pub batch_id: BatchId,
    /// What it shares with its cut.
    pub terms: BatchTerms,
    /// Grows with each lease.
    pub epoch: u32,
    /// The task was halted: agents tell what they know and start nothing.
    pub answer_only: bool,
    /// Something in it is to be stopped.
    pub stop: bool,
    /// Its targets.
    pub members: Vec<Member>,
}

/// A lease as its holder names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// Task of the batch.
    pub task_id: TaskId,
    /// The batch.
    pub batch_id: BatchId,
    /// The epoch it was leased with.
    pub epoch: u32,
}

/// Stores the batches of one cut in one statement. Those of a task that is being killed, or with a target that a
/// person stopped, are marked for it; those of a task that is held are held. Of a task that admits no more, only what is
/// known is asked for.
pub async fn insert(
    connection: &mut Connection,
    terms: &BatchTerms,
    batches: &[NewBatch],
    facts: &TaskFacts,
    now: Timestamp,
) -> Result<(), Error> {
    let mut batch_ids = Vec::new();
    let mut worker_ids = Vec::new();
    let mut ordinals = Vec::new();
    let mut desktop_ids = Vec::new();
    let mut agent_ids = Vec::new();
    for batch in batches {
        for member in &batch.members {
            batch_ids.push(batch.batch_id.0);
            worker_ids.push(batch.worker_id.as_str().to_owned());
            ordinals.push(int4(member.ordinal));
            desktop_ids.push(member.desktop_id.as_str().to_owned());
            agent_ids.push(member.agent_id.clone());
        }
    }
    sqlx::query!(
        "INSERT INTO batch (task_id, batch_id, wave, worker_id, ordinals, desktop_ids, agent_ids, status, maybe_handed,
                            answer_only, held, stop, deliver_by, finish_by, created_at, losses)
         SELECT $1, batch_id, $2, worker_id, array_agg(ordinal ORDER BY ordinal),
                array_agg(desktop_id ORDER BY ordinal), array_agg(agent_id ORDER BY ordinal), 'READY', $3, $11, $13,
                $12 OR EXISTS (SELECT FROM target_stop x WHERE x.task_id = $1 AND x.ordinal = ANY(array_agg(m.ordinal))),
                $4, $5, $6, $14
         FROM unnest($7::uuid[], $8::text[], $9::int4[], $10::text[], $15::text[])
             AS m (batch_id, worker_id, ordinal, desktop_id, agent_id)
         GROUP BY batch_id, worker_id ORDER BY min(ordinal)",
        terms.task_id.0,
        int2(terms.wave),
        terms.maybe_handed,
        terms.deadlines.deliver_by,
        terms.deadlines.finish_by,
        now,
        &batch_ids,
        &worker_ids,
        &ordinals,
        &desktop_ids,
        facts.status.admits_no_more(),
        facts.killing,
        facts.is_held(),
        int2(terms.losses),
        &agent_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct Raw {
    task_id: Uuid,
    batch_id: Uuid,
    wave: i16,
    epoch: i32,
    ordinals: Vec<i32>,
    desktop_ids: Vec<String>,
    agent_ids: Vec<String>,
    maybe_handed: bool,
    answer_only: bool,
    stop: bool,
    losses: i16,
    deliver_by: Timestamp,
    finish_by: Timestamp,
}

impl TryFrom<Raw> for BatchRow {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        Ok(Self {
            batch_id: BatchId(raw.batch_id),
            terms: BatchTerms {
                task_id: TaskId(raw.task_id),
                wave: count("batch", raw.wave)?,
                deadlines: Deadlines { deliver_by: raw.deliver_by, finish_by: raw.finish_by },
                maybe_handed: raw.maybe_handed,
                losses: count("batch", raw.losses)?,
            },
            epoch: count("batch", raw.epoch)?,
            answer_only: raw.answer_only,
            stop: raw.stop,
            members: members(raw.ordinals, raw.desktop_ids, raw.agent_ids)?,
        })
    }
}

fn members(
    ordinals: Vec<i32>,
    desktop_ids: Vec<String>,
    agent_ids: Vec<String>,
) -> Result<Vec<Member>, Error> {
    ordinals
        .into_iter()
        .zip(desktop_ids)
        .zip(agent_ids)
        .map(|((ordinal, desktop_id), agent_id)| {
            Ok(Member {
                ordinal: count("batch", ordinal)?,
                desktop_id: text_id("batch", desktop_id)?,
                agent_id,
            })
        })
        .collect()
}

/// A ready batch, locked for a lease.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// Its task.
    pub task_id: TaskId,
    /// Its id.
    pub batch_id: BatchId,
    /// The number of its targets.
    pub size: u32,
    /// Bytes of the ids of their desktops and agents.
    pub ids_bytes: u32,
    /// Scripts that one desktop runs at once at most, by the limit of its project.
    pub max_running: Option<u16>,
}

/// Locks a worker's oldest ready batches that no other lease is about to take. Of those whose targets are suspected (see
/// `domain::suspect`) one at most, and none while the worker holds one that it was leased after `survived`: it may still die
/// of that.
pub async fn lock_ready(
    connection: &mut Connection,
    worker_id: &WorkerId,
    survived: Timestamp,
    limit: u32,
) -> Result<Vec<Ready>, Error> {
    let rows = sqlx::query!(
        r#"SELECT task_id, batch_id, cardinality(ordinals) AS "size!",
                  octet_length(array_to_string(desktop_ids || agent_ids, '')) AS "ids_bytes!",
                  (SELECT l.max_running_per_desktop FROM task k JOIN project_limit l USING (project_id)
                   WHERE k.task_id = batch.task_id) AS max_running
           FROM batch
           WHERE worker_id = $1 AND status = 'READY' AND NOT held
             AND (losses < $3 OR batch_id = (
                 SELECT s.batch_id FROM batch s
                 WHERE s.worker_id = $1 AND s.status = 'READY' AND NOT s.held AND s.losses >= $3
                   AND NOT EXISTS (SELECT FROM batch h WHERE h.worker_id = $1 AND h.status = 'LEASED'
                                     AND h.losses >= $3 AND h.leased_at > $4)
                 ORDER BY s.created_at LIMIT 1))
           ORDER BY created_at LIMIT $2
           FOR UPDATE SKIP LOCKED"#,
        worker_id.as_str(),
        i64::from(limit),
        int2(suspect::SUSPECTED_AFTER),
        survived,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Ready {
                task_id: TaskId(row.task_id),
                batch_id: BatchId(row.batch_id),
                size: count("batch", row.size)?,
                ids_bytes: count("batch", row.ids_bytes)?,
                max_running: row.max_running.map(|most| count("project_limit", most)).transpose()?,
            })
        })
        .collect()
}

/// Splits a locked ready batch: its first `keep` targets become a ready batch of their own, the rest stays.
///
/// The rest keeps the row, because who waits for the row's lock, to withdraw or to stop what is ready, then finds the
/// rest in it; a new row it would not see. The new one is leased in this transaction and never ready for anybody else.
pub async fn split(
    connection: &mut Connection,
    task_id: TaskId,
    batch_id: BatchId,
    keep: u32,
    head_id: BatchId,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO batch (task_id, batch_id, wave, worker_id, ordinals, desktop_ids, agent_ids, status, epoch,
                            maybe_handed, answer_only, stop, deliver_by, finish_by, created_at, losses)
         SELECT task_id, $4, wave, worker_id, ordinals[:$3], desktop_ids[:$3], agent_ids[:$3], status, epoch,
                maybe_handed, answer_only, stop, deliver_by, finish_by, created_at, losses
         FROM batch WHERE task_id = $1 AND batch_id = $2",
        task_id.0,
        batch_id.0,
        int4(keep),
        head_id.0,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE batch SET ordinals = ordinals[$3 + 1:], desktop_ids = desktop_ids[$3 + 1:], agent_ids = agent_ids[$3 + 1:]
         WHERE task_id = $1 AND batch_id = $2",
        task_id.0,
        batch_id.0,
        int4(keep),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Leases locked batches: epoch + 1.
pub async fn lease(
    connection: &mut Connection,
    batches: &[(TaskId, BatchId)],
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<BatchRow>, Error> {
    let (task_ids, batch_ids) = keys(batches);
    let raw = sqlx::query_as!(
        Raw,
        "UPDATE batch b SET status = 'LEASED', epoch = epoch + 1, lease_until = $3, leased_at = $4
         FROM unnest($1::uuid[], $2::uuid[]) AS k (task_id, batch_id)
         WHERE b.task_id = k.task_id AND b.batch_id = k.batch_id
         RETURNING b.task_id, b.batch_id, b.wave, b.epoch, b.ordinals, b.desktop_ids, b.agent_ids, b.maybe_handed,
                   b.answer_only, b.stop, b.losses, b.deliver_by, b.finish_by",
        &task_ids,
        &batch_ids,
        lease_until,
        now,
    )
    .fetch_all(connection)
    .await?;
    raw.into_iter().map(BatchRow::try_from).collect()
}

fn keys(batches: &[(TaskId, BatchId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    batches.iter().map(|(task_id, batch_id)| (task_id.0, batch_id.0)).unzip()
}

/// Extends leases that the worker still holds with the right epoch, and returns those.
pub async fn renew(
    connection: &mut Connection,
    worker_id: &WorkerId,
    leases: &[LeaseKey],
    lease_until: Timestamp,
) -> Result<Vec<LeaseKey>, Error> {
    let (task_ids, batch_ids) =
        keys(&leases.iter().map(|lease| (lease.task_id, lease.batch_id)).collect::<Vec<_>>());
    let epochs: Vec<i32> = leases.iter().map(|lease| int4(lease.epoch)).collect();
    let rows = sqlx::query!(
        "UPDATE batch b SET lease_until = $5
         FROM (SELECT b.task_id, b.batch_id FROM batch b
               JOIN unnest($2::uuid[], $3::uuid[], $4::int4[]) AS k (task_id, batch_id, epoch)
                   ON b.task_id = k.task_id AND b.batch_id = k.batch_id AND b.epoch = k.epoch
               WHERE b.worker_id = $1 AND b.status = 'LEASED'
               ORDER BY b.task_id, b.batch_id FOR UPDATE OF b) AS held
         WHERE b.task_id = held.task_id AND b.batch_id = held.batch_id
         RETURNING b.task_id, b.batch_id, b.epoch",
        worker_id.as_str(),
        &task_ids,
        &batch_ids,
        &epochs,
        lease_until,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LeaseKey {
                task_id: TaskId(row.task_id),
                batch_id: BatchId(row.batch_id),
                epoch: count("batch", row.epoch)?,
            })
        })
        .collect()
}

/// Counts results that name a batch, and deletes the batches that are done: all their targets have a record.
pub async fn note_results(
    connection: &mut Connection,
    task_id: TaskId,
    results: &[(BatchId, u32)],
) -> Result<(), Error> {
    let batch_ids: Vec<Uuid> = results.iter().map(|(batch_id, _)| batch_id.0).collect();
    let numbers: Vec<i32> = results.iter().map(|(_, number)| int4(*number)).collect();
    let full = sqlx::query_scalar!(
        "UPDATE batch b SET reported = reported + k.number
         FROM (SELECT b.batch_id, n.number
               FROM batch b JOIN unnest($2::uuid[], $3::int4[]) AS n (batch_id, number) USING (batch_id)
               WHERE b.task_id = $1 ORDER BY b.batch_id FOR UPDATE OF b) AS k
         WHERE b.task_id = $1 AND b.batch_id = k.batch_id
         RETURNING CASE WHEN b.reported >= cardinality(b.ordinals) THEN b.batch_id END",
        task_id.0,
        &batch_ids,
        &numbers,
    )
    .fetch_all(&mut *connection)
    .await?;
    let full: Vec<Uuid> = full.into_iter().flatten().collect();
    if full.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "DELETE FROM batch b WHERE task_id = $1 AND batch_id = ANY($2) AND NOT EXISTS (
             SELECT FROM unnest(b.ordinals) AS o
             WHERE NOT EXISTS (SELECT FROM record r WHERE r.task_id = $1 AND r.ordinal = o))",
        task_id.0,
        &full,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes targets out of a batch that its worker gave back; returns its terms and the members that were really
/// in it. Deletes the batch when nothing is left.
pub async fn take_out(
    connection: &mut Connection,
    task_id: TaskId,
    batch_id: BatchId,
    worker_id: &WorkerId,
    ordinals: &[u32],
) -> Result<Option<(BatchTerms, Vec<Member>)>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        "SELECT task_id, batch_id, wave, epoch, ordinals, desktop_ids, agent_ids, maybe_handed, answer_only, stop,
                losses, deliver_by, finish_by
         FROM batch WHERE task_id = $1 AND batch_id = $2 AND worker_id = $3 AND status = 'LEASED' FOR UPDATE",
        task_id.0,
        batch_id.0,
        worker_id.as_str(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = raw.map(BatchRow::try_from).transpose()? else { return Ok(None) };
    let wanted: std::collections::HashSet<u32> = ordinals.iter().copied().collect();
    let (taken, left): (Vec<Member>, Vec<Member>) =
        row.members.into_iter().partition(|member| wanted.contains(&member.ordinal));
    if left.is_empty() {
        sqlx::query!("DELETE FROM batch WHERE task_id = $1 AND batch_id = $2", task_id.0, batch_id.0)
            .execute(connection)
            .await?;
    } else {
        let ordinals: Vec<i32> = left.iter().map(|member| int4(member.ordinal)).collect();
        let (desktop_ids, agent_ids): (Vec<String>, Vec<String>) = left
            .into_iter()
            .map(|member| (DesktopId::into_string(member.desktop_id), member.agent_id))
            .unzip();
        sqlx::query!(
            "UPDATE batch SET ordinals = $3, desktop_ids = $4, agent_ids = $5 WHERE task_id = $1 AND batch_id = $2",
            task_id.0,
            batch_id.0,
            &ordinals,
            &desktop_ids,
            &agent_ids,
        )
        .execute(connection)
        .await?;
    }
    Ok(Some((row.terms, taken)))
}

/// Takes one target out of a batch that no worker has pulled and that was certainly never handed out; true when it
/// was in one.
pub async fn take_unhanded(
    connection: &mut Connection,
    task_id: TaskId,
    ordinal: u32,
) -> Result<bool, Error> {
    let batch_id = sqlx::query_scalar!(
        "UPDATE batch SET desktop_ids = desktop_ids[:array_position(ordinals, $2) - 1]
                                        || desktop_ids[array_position(ordinals, $2) + 1:],
                          agent_ids = agent_ids[:array_position(ordinals, $2) - 1]
                                      || agent_ids[array_position(ordinals, $2) + 1:],
                          ordinals = array_remove(ordinals, $2)
         WHERE task_id = $1 AND $2 = ANY(ordinals) AND status = 'READY' AND NOT maybe_handed
           AND cardinality(ordinals) > 1
         RETURNING batch_id",
        task_id.0,
        int4(ordinal),
    )
    .fetch_optional(&mut *connection)
    .await?;
    if batch_id.is_some() {
        return Ok(true);
    }
    let done = sqlx::query!(
        "DELETE FROM batch WHERE task_id = $1 AND ordinals = ARRAY[$2::int4] AND status = 'READY' AND NOT maybe_handed",
        task_id.0,
        int4(ordinal),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Withdraws a wave's batches that no worker has pulled; returns how many of their targets were certainly never
/// handed out. Those that an earlier lease may have handed out stay, since their outcome must still be learnt; but
/// nothing of them may start any more.
pub async fn withdraw_ready(connection: &mut Connection, task_id: TaskId, wave: u16) -> Result<u32, Error> {
    sqlx::query!(
        "UPDATE batch SET answer_only = true, held = false
         WHERE task_id = $1 AND wave = $2 AND status = 'READY' AND maybe_handed",
        task_id.0,
        int2(wave),
    )
    .execute(&mut *connection)
    .await?;
    let sizes = sqlx::query_scalar!(
        r#"DELETE FROM batch WHERE task_id = $1 AND wave = $2 AND status = 'READY' AND NOT maybe_handed
           RETURNING cardinality(ordinals) AS "size!""#,
        task_id.0,
        int2(wave),
    )
    .fetch_all(connection)
    .await?;
    sizes.into_iter().map(|size| count::<u32>("batch", size)).sum()
}

/// Deletes what is left of a task that ended.
pub async fn delete_of_task(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM batch b USING (
             SELECT batch_id FROM batch WHERE task_id = $1 ORDER BY batch_id FOR UPDATE) AS all_of_it
         WHERE b.task_id = $1 AND b.batch_id = all_of_it.batch_id",
        task_id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}
