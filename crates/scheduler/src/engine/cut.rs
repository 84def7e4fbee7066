//! Opens a task's next wave when it is its turn, and hands the next targets of its open wave to workers.

use domain::{
    Timestamp,
    cut::{self, Member, Placed, Timed},
    deadline,
    ids::TaskId,
    outcome::Outcome,
    suspect,
    wave::WaveStatus,
};
use store::{
    Connection, Error,
    batch::{self, BatchTerms, NewBatch},
    notify::{self, Wake},
    project_limit,
    record::NewRecord,
    settle::{open_current, settle_waiting, store_outcomes},
    stop, straggler, target, task,
    task::TaskFacts,
    wave::{self, Live},
};
use telemetry::{metric, trace};
use tracing::{Instrument as _, Span};

use super::{Engine, fresh_batch_id, report::count_records, waiting};

impl Engine {
    /// One cut of one task under its waves' locks: true when another one may follow at once.
    pub async fn cut(&self, task_id: TaskId, now: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let mut live = wave::lock(&mut tx, task_id, &[]).await?;
        let Some(facts) = task::facts(&mut tx, task_id).await? else { return Ok(false) };
        if facts.status.admits_no_more() || facts.hold(now).is_some() {
            return Ok(false);
        }
        live.heed(&facts);
        open_current(&mut tx, task_id, &facts, &mut live, now).await?;
        let mut room = Room::new(&mut tx, &facts).await?;
        if live.waves.iter().any(|row| row.state.admits_by_results()) || room.is_limited() {
            // Who waited for a place comes before who has not had a turn yet.
            waiting::hand_out(&mut tx, task_id, &facts, &mut live, &mut room, now).await?;
        }
        let span = span_of_cut(task_id, &facts, &mut live, &room);
        let cutting = async {
            let admitted = admit(&mut tx, task_id, &facts, &mut live, &mut room, now).await?;
            settle_waiting(&mut tx, task_id, &facts, &mut live, now).await?;
            self.store.commit(tx).await?;
            Ok::<_, Error>(admitted)
        };
        let admitted = Box::pin(cutting.instrument(span)).await?;
        metric::TARGETS_ADMITTED.count(admitted.into(), &[]);
        live.relate();
        Ok(live.current().is_some_and(|row| room.of(row.state.admission()) > 0))
    }

    /// One cut of every task that may have something to cut; true when another one may follow at once. A task that
    /// waits for results before it may admit more keeps no other one waiting.
    pub async fn cut_all(&self, now: Timestamp) -> Result<bool, Error> {
        const TASKS: i64 = 100;
        let (mut more, mut after) = (false, None);
        loop {
            let task_ids = task::to_cut(&mut *self.store.acquire().await?, after, now, TASKS).await?;
            for &task_id in &task_ids {
                more |= self.cut(task_id, now).await?;
            }
            after = task_ids.last().copied();
            if i64::try_from(task_ids.len()).unwrap_or(i64::MAX) < TASKS {
                return Ok(more);
            }
        }
    }
}

/// What the project leaves of its targets in flight, while its limit is locked.
pub(super) struct Room(Option<u32>);

impl Room {
    /// Locks the project's limit, if it has one.
    pub(super) async fn new(connection: &mut Connection, facts: &TaskFacts) -> Result<Self, Error> {
        if !facts.has_project_limit {
            return Ok(Self(None));
        }
        Ok(Self(project_limit::lock_room(connection, &facts.project_id).await?))
    }

    pub(super) const fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// As many of these as there is room for.
    pub(super) fn of(&self, wanted: u32) -> u32 {
        self.0.map_or(wanted, |room| room.min(wanted))
    }

    pub(super) fn take(&mut self, taken: u32) {
        self.0 = self.0.map(|room| room.saturating_sub(taken));
    }
}

/// A part of the task's trace, when there is something to admit.
fn span_of_cut(task_id: TaskId, facts: &TaskFacts, live: &mut Live, room: &Room) -> Span {
    trace::child(facts.trace_context.as_deref(), || {
        live.relate();
        let open = live.current().filter(|row| row.state.status == WaveStatus::Open);
        let Some((wave, number)) =
            open.map(|row| (row.wave, room.of(row.state.admission()))).filter(|(_, number)| *number > 0)
        else {
            return Span::none();
        };
        tracing::info_span!(target: trace::TARGET, parent: None, "cut", %task_id, wave, targets = number)
    })
}

/// Admits the next targets of the open wave. Returns how many.
async fn admit(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    room: &mut Room,
    now: Timestamp,
) -> Result<u32, Error> {
    live.relate();
    let Some(current) = live.current().filter(|row| row.state.status == WaveStatus::Open) else {
        return Ok(0);
    };
    let number = room.of(current.state.admission());
    if number == 0 {
        return Ok(0);
    }
    let (wave, first) = (current.wave, current.first_ordinal + current.cursor);
    let placed = target::place(connection, &facts.project_id, task_id, first, number).await?;
    let ends = placed.iter().map(|target| (target.ordinal, &target.desktop_id));
    let stopped = stop::before_start(connection, task_id, facts, ends.collect(), now).await?;
    let placed: Vec<Placed> = placed
        .into_iter()
        .filter(|target| !stopped.iter().any(|record| record.ordinal == target.ordinal))
        .collect();
    wave::admit(connection, task_id, wave, number).await?;
    current.state.admitted += number;
    current.cursor += number;
    let terms = BatchTerms {
        task_id,
        wave,
        deadlines: deadline::of_target(now, &facts.timeouts, u32::from(facts.script_count)),
        maybe_handed: false,
        losses: 0,
    };
    // Nothing of it was handed out before, so no agent can have been replaced.
    let handed = hand_to_workers(connection, facts, live, &terms, placed, now).await?;
    room.take(handed.targets);
    if !stopped.is_empty() {
        store_outcomes(connection, task_id, facts, live, &stopped, now).await?;
    }
    tracing::debug!(%task_id, wave, first, number, "targets admitted");
    Ok(number)
}

/// Makes batches for the workers that hold the desktops and stragglers of the rest, of those whose window is closed as well,
/// and wakes who waits for them.
pub(super) async fn hand_to_workers(
    connection: &mut Connection,
    facts: &TaskFacts,
    live: &mut Live,
    terms: &BatchTerms,
    placed: Vec<Placed>,
    now: Timestamp,
) -> Result<Handed, Error> {
    // What may have been handed out was in its window then, and is only asked for if it was.
    let window = facts.policy.window.as_ref().filter(|_| !terms.maybe_handed);
    let fresh = deadline::of_target(now, &facts.timeouts, u32::from(facts.script_count));
    let (mut handed, mut replaced) = (0, Vec::new());
    for Timed { deadlines, not_before, targets } in
        cut::by_window(placed, window, terms.deadlines, fresh, now)
    {
        let terms = BatchTerms { deadlines, ..*terms };
        let mut cut = cut::cut(targets, suspect::batch_size(terms.losses));
        replaced.append(&mut cut.replaced);
        if not_before.is_some() {
            let members = cut.batches.drain(..).flat_map(|(_, members)| members);
            cut.stragglers.extend(members);
        }
        if !cut.stragglers.is_empty() {
            straggler::insert(connection, facts, live, &terms, not_before, &cut.stragglers).await?;
        }
        let batches: Vec<NewBatch> = cut
            .batches
            .into_iter()
            .map(|(worker_id, members)| NewBatch { batch_id: fresh_batch_id(), worker_id, members })
            .collect();
        handed += batches.iter().map(|batch| batch.members.len()).sum::<usize>();
        if !batches.is_empty() {
            batch::insert(connection, &terms, &batches, facts, now).await?;
        }
    }
    if handed > 0 {
        notify::send(connection, Wake::Ready).await?;
    }
    Ok(Handed { targets: u32::try_from(handed).unwrap_or(u32::MAX), replaced })
}

const REPLACED_REASON: &str =
    "handed to the desktop's agent, and that agent was replaced before its result came";

/// What became of targets that were to be handed out.
#[derive(Debug, Default)]
#[must_use = "replaced targets end with end_replaced"]
pub(super) struct Handed {
    /// Targets that are in batches.
    pub(super) targets: u32,
    /// Targets that a former agent of their desktop may have started.
    pub(super) replaced: Vec<Member>,
}

/// Ends targets of replaced agents as UNKNOWN, which counts as a failure. Call it when everything else is handed out: the
/// failures may halt the task, and a halt withdraws what is ready by then.
pub(super) async fn end_replaced(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    replaced: &[Member],
    now: Timestamp,
) -> Result<(), Error> {
    if replaced.is_empty() {
        return Ok(());
    }
    let records = replaced.iter().flat_map(|member| {
        tracing::warn!(
            %task_id, ordinal = member.ordinal, desktop_id = %member.desktop_id,
            "target ends as UNKNOWN: its desktop's agent was replaced while it may have run"
        );
        let Member { ordinal, desktop_id, .. } = member;
        (0..facts.script_count).map(move |script| {
            let (desktop_id, outcome) = (desktop_id.clone(), Outcome::Unknown);
            NewRecord::without_result(*ordinal, desktop_id, script, outcome, now, REPLACED_REASON)
        })
    });
    let records: Vec<NewRecord> = records.collect();
    count_records(records.iter().map(|record| record.outcome));
    store_outcomes(connection, task_id, facts, live, &records, now).await?;
    Ok(())
}
