//! Due work, as the query results contain it.

use chrono::TimeDelta;
use domain::ids::{BatchId, TaskId};
use engine::{Duty, DutyKind};
use uuid::Uuid;

use crate::{Error, codec::count};

/// Time after the retirement or revocation of a desktop in which its waiting targets are looked
/// for. Its worker returns targets in that time; targets that are deferred later are overdue at
/// once.
pub(crate) const OUT_OF_SERVICE_FOR: TimeDelta = TimeDelta::minutes(10);

/// A lost batch, or the deferred targets of a task.
pub(crate) struct RawDuty {
    pub(crate) task_id: Uuid,
    pub(crate) batch_id: Option<Uuid>,
    pub(crate) ordinals: Vec<i32>,
}

/// Runs a query for due work, and converts its rows to duties of a kind.
macro_rules! find_duties {
    ($kind:expr, $connection:expr, $sql:literal, $($argument:expr),+ $(,)?) => {{
        let rows = sqlx::query_as!(crate::duty::RawDuty, $sql, $($argument),+);
        crate::duty::duties($kind, rows.fetch_all($connection).await?)
    }};
}
pub(crate) use find_duties;

/// Converts rows to duties of a kind.
pub(crate) fn duties(kind: DutyKind, rows: Vec<RawDuty>) -> Result<Vec<Duty>, Error> {
    let duty = |row: RawDuty| {
        let ordinals = row.ordinals.iter().map(|&ordinal| count("batch", ordinal));
        let ordinals = ordinals.collect::<Result<_, _>>()?;
        Ok(Duty { kind, task_id: TaskId(row.task_id), batch_id: row.batch_id.map(BatchId), ordinals })
    };
    rows.into_iter().map(duty).collect()
}
