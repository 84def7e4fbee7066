//! What results are of: see `domain::claim`.

use std::collections::{HashMap, HashSet};

use domain::{
    claim::Claim,
    ids::{BatchId, TaskId, WorkerId},
};
use uuid::Uuid;

use crate::{
    Connection, Error,
    values::{count, int4},
};

/// A result as its reporter names it.
#[derive(Debug, Clone, Copy)]
pub struct Reported {
    /// The target's place in the plan.
    pub ordinal: u32,
    /// The batch that it was handed out in, where the worker knows.
    pub batch_id: Option<BatchId>,
}

/// What each of the results of a worker is of, in their order; under the waves' locks.
pub async fn claims(
    connection: &mut Connection,
    task_id: TaskId,
    worker_id: &WorkerId,
    reported: &[Reported],
) -> Result<Vec<Claim>, Error> {
    let named: HashSet<Uuid> = reported.iter().filter_map(|result| result.batch_id).map(|id| id.0).collect();
    let leased = leased(connection, task_id, named.into_iter().collect()).await?;
    let claim = |result: &Reported| match result.batch_id.and_then(|batch_id| leased.get(&batch_id)) {
        Some((holder, _)) if holder != worker_id.as_str() => Claim::HeldByAnother,
        Some((_, ordinals)) if ordinals.contains(&result.ordinal) => Claim::Held,
        _ => Claim::MaybeHanded,
    };
    let mut claims: Vec<Claim> = reported.iter().map(claim).collect();
    let loose = reported.iter().zip(&claims).filter(|(_, claim)| **claim == Claim::MaybeHanded);
    let loose: Vec<i32> = loose.map(|(result, _)| int4(result.ordinal)).collect();
    if !loose.is_empty() {
        let never_handed = never_handed(connection, task_id, &loose).await?;
        for (result, claim) in reported.iter().zip(&mut claims) {
            if *claim == Claim::MaybeHanded && never_handed.contains(&result.ordinal) {
                *claim = Claim::NeverHanded;
            }
        }
    }
    Ok(claims)
}

/// Who holds the batches that are leased, and their targets.
async fn leased(
    connection: &mut Connection,
    task_id: TaskId,
    batch_ids: Vec<Uuid>,
) -> Result<HashMap<BatchId, (String, HashSet<u32>)>, Error> {
    if batch_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "SELECT batch_id, worker_id, ordinals FROM batch
         WHERE task_id = $1 AND batch_id = ANY($2) AND status = 'LEASED'",
        task_id.0,
        &batch_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let ordinals = row.ordinals.into_iter().map(|ordinal| count("batch", ordinal));
            Ok((BatchId(row.batch_id), (row.worker_id, ordinals.collect::<Result<_, Error>>()?)))
        })
        .collect()
}

/// Those of the targets that wait in a batch or for their desktop, and that nobody was ever given.
async fn never_handed(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[i32],
) -> Result<HashSet<u32>, Error> {
    let rows = sqlx::query_scalar!(
        r#"SELECT o AS "ordinal!" FROM batch b, unnest(b.ordinals) AS o
           WHERE b.task_id = $1 AND b.status = 'READY' AND b.epoch = 0 AND NOT b.maybe_handed AND o = ANY($2)
           UNION ALL
           SELECT ordinal FROM straggler WHERE task_id = $1 AND ordinal = ANY($2) AND NOT maybe_handed"#,
        task_id.0,
        ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|ordinal| count("batch", ordinal)).collect()
}
