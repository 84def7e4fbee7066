//! Waves: the row lock that serialises admission and the gate.

use domain::{
    Timestamp,
    gate::Results,
    ids::TaskId,
    opening::Opening,
    plan::PlannedWave,
    policy::RolloutPolicy,
    tally::Tally,
    threshold::Threshold,
    wave::{Others, WaveState, WaveStatus, WaveTerms, relate},
};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    Connection, Error,
    values::{count, int2, int4, tally_from_array, tally_to_array, word},
};

/// A wave's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveRow {
    /// From 1.
    pub wave: u16,
    /// Ordinal of its first target.
    pub first_ordinal: u32,
    /// Targets of the wave that the cut has passed.
    pub cursor: u32,
    /// What the rules read.
    pub state: WaveState,
    /// Its records by outcome.
    pub record_tally: Tally,
    /// What the gate, or the person who stopped it, said last, in words.
    pub verdict_reason: Option<String>,
    /// What it needs before it opens.
    pub opening: Opening,
    /// Who approved it, and when.
    pub approved: Option<(String, Timestamp)>,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// When it was closed, halted or stopped.
    pub closed_at: Option<Timestamp>,
}

impl WaveRow {
    /// Whether a target belongs to it.
    pub fn has(&self, ordinal: u32) -> bool {
        (self.first_ordinal..self.first_ordinal + self.state.size).contains(&ordinal)
    }

    /// Whether a target of it was ever admitted.
    pub fn has_admitted(&self, ordinal: u32) -> bool {
        self.state.status != WaveStatus::Pending
            && (self.first_ordinal..self.first_ordinal + self.cursor).contains(&ordinal)
    }
}

/// What of a task can still change, under its locks: waves that were closed on a quorum and whose last targets are
/// missing, and the current wave, which is the last of these rows.
#[derive(Debug)]
pub struct Live {
    /// In ascending order. Waves that were asked for and are over may be among them.
    pub waves: Vec<WaveRow>,
    /// Of all waves that are not among these.
    settled: Results,
}

impl Live {
    /// The current wave: the first that is not closed; none when the task has ended.
    pub fn current(&mut self) -> Option<&mut WaveRow> {
        self.waves.iter_mut().find(|row| row.state.status != WaveStatus::Closed)
    }

    /// One of the waves.
    pub fn wave(&mut self, wave: u16) -> Option<&mut WaveRow> {
        self.waves.iter_mut().find(|row| row.wave == wave)
    }

    /// Tells each wave what the others have come to. To be done after each change and before a rule is asked.
    pub fn relate(&mut self) {
        relate(self.settled, self.waves.iter_mut().map(|row| &mut row.state));
    }

    /// Targets of a wave came to wait for their desktops.
    pub(crate) fn wait(&mut self, wave: u16, number: u32) {
        if let Some(row) = self.wave(wave) {
            row.state.waiting += number;
        }
    }

    /// Targets of a wave do not wait for their desktops any more.
    pub(crate) fn wait_no_more(&mut self, wave: u16, number: u32) {
        if let Some(row) = self.wave(wave) {
            row.state.waiting = row.state.waiting.saturating_sub(number);
        }
    }
}

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
    fail_percent: Option<i32>,
    min_results: Option<i32>,
    failed: i32,
    halting: i32,
    target_tally: Vec<i32>,
    record_tally: Vec<i32>,
    verdict_reason: Option<String>,
    opens_at: Option<Timestamp>,
    needs_approval: bool,
    is_approved: bool,
    approved_at: Option<Timestamp>,
    approved_by: Option<String>,
    opened_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    target_count: i32,
    policy: Option<Json<RolloutPolicy>>,
    max_concurrency: Option<i32>,
}

/// A statement that reads rows of waves. An approval is one of the plan and the scripts that the task has.
macro_rules! select_waves {
    ($tail:literal) => {
        concat!(
            "SELECT w.task_id, w.wave, w.status, w.first_ordinal, w.size, w.cursor, w.admitted, w.waiting, w.fail_threshold,
                    w.fail_percent, w.min_results, w.failed, w.halting, w.target_tally, w.record_tally, w.verdict_reason,
                    w.opens_at, w.needs_approval, w.approved_at, w.approved_by, w.opened_at, w.closed_at,
                    w.approved_at IS NOT NULL AND w.approved_plan_hash IS NOT DISTINCT FROM k.plan_hash
                        AND w.approved_script_hash IS NOT DISTINCT FROM k.script_hash AS is_approved,
                    k.target_count, k.policy, k.max_concurrency
             FROM wave w JOIN task k USING (task_id) WHERE ",
            $tail
        )
    };
}

impl Raw {
    fn fail_threshold(&self) -> Result<Option<Threshold>, Error> {
        if let Some(number) = self.fail_threshold {
            return Ok(Some(Threshold::Count(count("wave", number)?)));
        }
        let Some((hundredths, min_results)) = self.fail_percent.zip(self.min_results) else {
            return Ok(None);
        };
        Ok(Some(Threshold::Percent {
            hundredths: count("wave", hundredths)?,
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
                // Filled in under the locks, where it matters.
                others: Others::default(),
                terms: raw.terms()?,
                is_last: raw.first_ordinal + raw.size == raw.target_count,
            },
            record_tally: tally_from_array(&raw.record_tally)?,
            verdict_reason: raw.verdict_reason,
            opening: Opening {
                opens_at: raw.opens_at,
                needs_approval: raw.needs_approval,
                is_approved: raw.is_approved,
            },
            approved: raw.approved_by.zip(raw.approved_at),
            opened_at: raw.opened_at,
            closed_at: raw.closed_at,
        })
    }
}

/// Stores the waves of a new plan, all pending.
pub async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    waves: &[PlannedWave],
    policy: &RolloutPolicy,
) -> Result<(), Error> {
    for wave in waves {
        let percent = match wave.fail_threshold {
            Some(Threshold::Percent { hundredths, min_results }) => Some((hundredths, min_results)),
            Some(Threshold::Count(_)) | None => None,
        };
        sqlx::query!(
            "INSERT INTO wave (task_id, wave, status, first_ordinal, size, fail_threshold, fail_percent, min_results,
                               needs_approval)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            task_id.0,
            int2(wave.wave),
            WaveStatus::Pending.as_str(),
            int4(wave.first_ordinal),
            int4(wave.size),
            wave.fail_threshold.and_then(Threshold::count).map(int4),
            percent.map(|(hundredths, _)| int4(hundredths)),
            percent.map(|(_, min_results)| int4(min_results)),
            policy.opening_of(wave.wave).needs_approval,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Locks what of a task can still change, and those waves of these ordinals that have begun, in ascending order, waiting for
/// whoever holds them. Of a wave that has not begun nothing can be true, whoever names its ordinals.
pub async fn lock(connection: &mut Connection, task_id: TaskId, ordinals: &[u32]) -> Result<Live, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let raw: Vec<Raw> = sqlx::query_as(select_waves!(
        "w.task_id = $1 AND w.status <> 'PENDING'
             AND (w.is_trailing OR w.status IN ('OPEN', 'HALTED', 'STOPPED') OR EXISTS (
                 SELECT FROM unnest($2::int4[]) AS o WHERE o >= w.first_ordinal AND o < w.first_ordinal + w.size))
         ORDER BY w.wave FOR UPDATE OF w"
    ))
    .bind(task_id.0)
    .bind(&ordinals)
    .fetch_all(&mut *connection)
    .await?;
    let mut waves = raw.into_iter().map(WaveRow::try_from).collect::<Result<Vec<_>, _>>()?;
    // While these locks were waited for, the current wave may have become another one; or none is open, and one waits.
    while waves.last().is_none_or(|last| last.state.status == WaveStatus::Closed) {
        let after = waves.last().map_or(0, |last| last.wave);
        match lock_next(connection, task_id, after).await? {
            Some(next) => waves.push(next),
            None => break,
        }
    }
    let around = around(connection, task_id, &waves).await?;
    for row in &mut waves {
        row.state.terms.max_concurrency = around.max_concurrency;
    }
    let mut live = Live { waves, settled: around.settled };
    live.relate();
    Ok(live)
}

/// Locks the first wave behind one that can still change.
pub(crate) async fn lock_next(
    connection: &mut Connection,
    task_id: TaskId,
    after: u16,
) -> Result<Option<WaveRow>, Error> {
    let raw: Option<Raw> = sqlx::query_as(select_waves!(
        "w.task_id = $1 AND w.wave > $2 AND (w.is_trailing OR w.status <> 'CLOSED') ORDER BY w.wave LIMIT 1 FOR UPDATE OF w"
    ))
    .bind(task_id.0)
    .bind(int2(after))
    .fetch_optional(connection)
    .await?;
    raw.map(WaveRow::try_from).transpose()
}

/// What is around locked waves.
struct Around {
    /// Of waves that are not locked, which are over.
    settled: Results,
    max_concurrency: Option<u32>,
}

/// What the waves that are not locked have come to, where a rule asks for it, and what a person may have changed. Asked for
/// only now: while the locks were waited for, a wave may just have been closed, or the task's concurrency lowered.
async fn around(connection: &mut Connection, task_id: TaskId, locked: &[WaveRow]) -> Result<Around, Error> {
    let last = locked.last().filter(|row| row.state.terms.task_threshold.is_some());
    let numbers: Vec<i16> = locked.iter().map(|row| int2(row.wave)).collect();
    let found = sqlx::query!(
        r#"SELECT k.max_concurrency, coalesce(w.finished, 0) AS "finished!", coalesce(w.failed, 0) AS "failed!"
           FROM task k LEFT JOIN LATERAL (
               SELECT sum(size)::int4 AS finished, sum(failed)::int4 AS failed
               FROM wave WHERE task_id = k.task_id AND wave < $2 AND wave <> ALL($3)) AS w ON $2 > 1
           WHERE k.task_id = $1"#,
        task_id.0,
        last.map_or(0, |row| int2(row.wave)),
        &numbers,
    )
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(Around { settled: Results::default(), max_concurrency: None }) };
    Ok(Around {
        settled: Results { finished: count("wave", found.finished)?, failed: count("wave", found.failed)? },
        max_concurrency: found.max_concurrency.map(|most| count("task", most)).transpose()?,
    })
}

/// All waves of several tasks, by task and number, without a lock.
pub async fn list(connection: &mut Connection, task_ids: &[TaskId]) -> Result<Vec<(TaskId, WaveRow)>, Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows: Vec<Raw> = sqlx::query_as(select_waves!("w.task_id = ANY($1) ORDER BY w.task_id, w.wave"))
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|raw| Ok((TaskId(raw.task_id), raw.try_into()?))).collect()
}

/// Opens a pending wave; false when it was not pending.
pub async fn open(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE wave SET status = 'OPEN', opened_at = $3 WHERE task_id = $1 AND wave = $2 AND status = 'PENDING'",
        task_id.0,
        int2(wave),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves the cursor past targets that were admitted.
pub async fn admit(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    number: u32,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET cursor = cursor + $3, admitted = admitted + $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(wave),
        int4(number),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Has a wave whose turn it is wait until the one before it has soaked.
pub async fn soak(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    opens_at: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET opens_at = $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(wave),
        opens_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a person approved a wave, for the plan and the scripts that the task has.
pub async fn approve(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    approved_by: &str,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave w SET approved_at = $4, approved_by = $3, approved_plan_hash = k.plan_hash,
                approved_script_hash = k.script_hash
         FROM task k WHERE k.task_id = w.task_id AND w.task_id = $1 AND w.wave = $2",
        task_id.0,
        int2(wave),
        approved_by,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The last missing target of a wave that was closed on a quorum is in.
pub async fn end_trailing(connection: &mut Connection, task_id: TaskId, wave: u16) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET is_trailing = false WHERE task_id = $1 AND wave = $2 AND is_trailing",
        task_id.0,
        int2(wave)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores what was counted in a locked wave.
pub async fn store_tallies(connection: &mut Connection, task_id: TaskId, row: &WaveRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET target_tally = $3, record_tally = $4, failed = $5, halting = $6, verdict_reason = $7
         WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        &tally_to_array(&row.state.tally),
        &tally_to_array(&row.record_tally),
        int4(row.state.failed),
        int4(row.state.halting),
        row.verdict_reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a locked wave as closed, halted or stopped, with the reason. One that is closed although targets are missing
/// goes on counting them.
pub async fn end(
    connection: &mut Connection,
    task_id: TaskId,
    row: &mut WaveRow,
    status: WaveStatus,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let is_trailing = status == WaveStatus::Closed && row.state.missing() > 0;
    row.state.status = status;
    row.verdict_reason = Some(reason.to_owned());
    row.closed_at = Some(now);
    sqlx::query!(
        "UPDATE wave SET status = $3, verdict_reason = $4, is_trailing = $5, closed_at = $6
         WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        status.as_str(),
        reason,
        is_trailing,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes targets back that were admitted to a locked wave and certainly never handed out, because the task is cut short.
pub async fn withdraw(
    connection: &mut Connection,
    task_id: TaskId,
    row: &mut WaveRow,
    number: u32,
) -> Result<(), Error> {
    row.state.admitted -= number;
    sqlx::query!(
        "UPDATE wave SET admitted = admitted - $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        int4(number),
    )
    .execute(connection)
    .await?;
    Ok(())
}
