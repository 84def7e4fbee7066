//! Waves: their row locks serialise admission and the gate.

mod locked;
mod update;

use domain::{
    Timestamp,
    ids::TaskId,
    policy::RolloutPolicy,
    threshold::Threshold,
    wave::{OtherWaves, WaveState, WaveTerms},
    wave_start::StartConditions,
};
pub use engine::row::WaveRow;
pub use locked::lock;
pub(crate) use locked::{lock_next, other_tallies, settled};
use sqlx::types::Json;
pub(crate) use update::apply;
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{basis_points, count, tally_from_array, word},
};

#[derive(sqlx::FromRow)]
struct Raw {
    task_id: Uuid,
    wave: i16,
    status: String,
    first_ordinal: i32,
    size: i32,
    cursor: i32,
    admitted: i32,
    waiting: i32,
    fail_threshold: Option<i32>,
    fail_threshold_basis_points: Option<i32>,
    min_results: Option<i32>,
    failed: i32,
    halting: i32,
    target_tally: Vec<i32>,
    record_tally: Vec<i32>,
    verdict_reason: Option<String>,
    opens_at: Option<Timestamp>,
    hold_until: Option<Timestamp>,
    needs_approval: bool,
    is_approved: bool,
    approved_at: Option<Timestamp>,
    approved_by: Option<String>,
    opened_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    is_trailing: bool,
    target_count: i32,
    policy: Option<Json<RolloutPolicy>>,
    max_concurrency: Option<i32>,
}

/// Expands to a statement that reads waves. An approval is valid only for the task's current plan
/// and scripts.
macro_rules! select_waves {
    ($tail:literal) => {
        concat!(
            "SELECT w.task_id, w.wave, w.status, w.first_ordinal, w.size, w.cursor, w.admitted, w.waiting, w.fail_threshold,
                    w.fail_threshold_basis_points, w.min_results, w.failed, w.halting, w.target_tally, w.record_tally, w.verdict_reason,
                    w.opens_at, w.hold_until, w.needs_approval, w.approved_at, w.approved_by, w.opened_at, w.closed_at, w.is_trailing,
                    w.approved_at IS NOT NULL AND w.approved_plan_hash IS NOT DISTINCT FROM k.plan_hash
                        AND w.approved_script_hash IS NOT DISTINCT FROM k.script_hash AS is_approved,
                    k.target_count, k.policy, k.max_concurrency
             FROM wave w JOIN task k USING (task_id) WHERE ",
            $tail
        )
    };
}
use select_waves;

impl Raw {
    fn fail_threshold(&self) -> Result<Option<Threshold>, Error> {
        if let Some(number) = self.fail_threshold {
            return Ok(Some(Threshold::Count(count("wave", number)?)));
        }
        let Some((share, min_results)) = self.fail_threshold_basis_points.zip(self.min_results) else {
            return Ok(None);
        };
        Ok(Some(Threshold::Percent {
            share: basis_points("wave", share)?,
            min_results: count("wave", min_results)?,
        }))
    }

    fn terms(&self) -> Result<WaveTerms, Error> {
        let max_concurrency = self.max_concurrency.map(|most| count("task", most)).transpose()?;
        let policy = self.policy.as_ref().map(|policy| policy.0.clone()).unwrap_or_default();
        Ok(WaveTerms::new(&policy, max_concurrency))
    }
}

impl TryFrom<Raw> for WaveRow {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        Ok(Self {
            wave: count("wave", raw.wave)?,
            first_ordinal: count("wave", raw.first_ordinal)?,
            cursor: count("wave", raw.cursor)?,
            state: WaveState {
                status: word("wave", &raw.status)?,
                size: count("wave", raw.size)?,
                admitted: count("wave", raw.admitted)?,
                waiting: count("wave", raw.waiting)?,
                tally: tally_from_array(&raw.target_tally)?,
                failed: count("wave", raw.failed)?,
                halting: count("wave", raw.halting)?,
                fail_threshold: raw.fail_threshold()?,
                // Computed under the locks, by the operations that need it.
                others: OtherWaves::default(),
                terms: raw.terms()?,
                is_last: raw.first_ordinal + raw.size == raw.target_count,
            },
            is_trailing: raw.is_trailing,
            record_tally: tally_from_array(&raw.record_tally)?,
            verdict_reason: raw.verdict_reason,
            opening: StartConditions {
                opens_at: raw.opens_at,
                needs_approval: raw.needs_approval,
                is_approved: raw.is_approved,
                hold_until: raw.hold_until,
            },
            approved: raw.approved_by.zip(raw.approved_at),
            opened_at: raw.opened_at,
            closed_at: raw.closed_at,
        })
    }
}

/// Reads all waves of several tasks, by task and number, without locks.
pub async fn list(connection: &mut Connection, task_ids: &[TaskId]) -> Result<Vec<(TaskId, WaveRow)>, Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows: Vec<Raw> = sqlx::query_as(select_waves!("w.task_id = ANY($1) ORDER BY w.task_id, w.wave"))
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|raw| Ok((TaskId(raw.task_id), raw.try_into()?))).collect()
}
