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
pub struct Reported<'a> {
    /// The target's place in the plan.
    pub ordinal: u32,
    /// The batch that it was handed out in, where the worker knows.
    pub batch_id: Option<BatchId>,
    /// The agent that it comes from.
    pub agent_id: &'a str,
}

/// What each of the results of a worker is of, in their order; under the waves' locks.
pub async fn claims(
    connection: &mut Connection,
    task_id: TaskId,
    worker_id: &WorkerId,
    reported: &[Reported<'_>],
) -> Result<Vec<Claim>, Error> {
    let named: HashSet<Uuid> = reported.iter().filter_map(|result| result.batch_id).map(|id| id.0).collect();
    let leased = leased(connection, task_id, named.into_iter().collect()).await?;
    let claim = |result: &Reported<'_>| match result.batch_id.and_then(|batch_id| leased.get(&batch_id)) {
        Some((holder, _)) if holder != worker_id.as_str() => Claim::HeldByAnother,
        Some((_, agents)) => match agents.get(&result.ordinal) {
            Some(agent_id) if agent_id == result.agent_id => Claim::Held,
            Some(_) => Claim::ForAnotherAgent,
            None => Claim::MaybeHanded,
        },
        None => Claim::MaybeHanded,
    };
    let mut claims: Vec<Claim> = reported.iter().map(claim).collect();
    let loose = reported.iter().zip(&claims).filter(|(_, claim)| **claim == Claim::MaybeHanded);
    let loose: Vec<i32> = loose.map(|(result, _)| int4(result.ordinal)).collect();
    if !loose.is_empty() {
        let waiting = waiting(connection, task_id, &loose).await?;
        for (result, claim) in reported.iter().zip(&mut claims) {
            if *claim == Claim::MaybeHanded {
                *claim = match waiting.get(&result.ordinal) {
                    Some(Waiting { maybe_handed: false, .. }) => Claim::NeverHanded,
                    Some(Waiting { agent_id, .. }) if agent_id != result.agent_id => Claim::ForAnotherAgent,
                    _ => Claim::MaybeHanded,
                };
            }
        }
    }
    Ok(claims)
}

/// A target's agent by its ordinal.
type Agents = HashMap<u32, String>;

/// Who holds the batches that are leased, and the agents that their targets are for.
async fn leased(
    connection: &mut Connection,
    task_id: TaskId,
    batch_ids: Vec<Uuid>,
) -> Result<HashMap<BatchId, (String, Agents)>, Error> {
    if batch_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "SELECT batch_id, worker_id, ordinals, agent_ids FROM batch
         WHERE task_id = $1 AND batch_id = ANY($2) AND status = 'LEASED'",
        task_id.0,
        &batch_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let agents = row.ordinals.into_iter().zip(row.agent_ids);
            let agents = agents.map(|(ordinal, agent_id)| Ok((count("batch", ordinal)?, agent_id)));
            Ok((BatchId(row.batch_id), (row.worker_id, agents.collect::<Result<_, Error>>()?)))
        })
        .collect()
}

/// A target that waits in a batch or for its desktop.
struct Waiting {
    /// False where nobody was ever given it.
    maybe_handed: bool,
    /// The agent that it is for.
    agent_id: String,
}

/// Those of the targets that wait in a batch or for their desktop.
async fn waiting(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[i32],
) -> Result<HashMap<u32, Waiting>, Error> {
    let rows = sqlx::query!(
        r#"SELECT m.ordinal AS "ordinal!", m.agent_id AS "agent_id!",
                  (b.status = 'LEASED' OR b.epoch > 0 OR b.maybe_handed) AS "maybe_handed!"
           FROM batch b, unnest(b.ordinals, b.agent_ids) AS m (ordinal, agent_id)
           WHERE b.task_id = $1 AND m.ordinal = ANY($2)
           UNION ALL
           SELECT ordinal, agent_id, maybe_handed FROM straggler WHERE task_id = $1 AND ordinal = ANY($2)"#,
        task_id.0,
        ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let waiting = Waiting { maybe_handed: row.maybe_handed, agent_id: row.agent_id };
            Ok((count("batch", row.ordinal)?, waiting))
        })
        .collect()
}
