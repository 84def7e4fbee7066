//! Admission: opens a task's next wave when its start conditions are met, and admits targets of the
//! open wave.

use domain::{Timestamp, deadline::BUSY_WAIT, ids::TaskId};

use super::{Engine, room::Room};
use crate::{
    Decision, Effect, Faults, Rows, TargetDetail, TargetSelection, rollout::Rollout, row::BatchTerms,
};

/// Result of one admission step of a task.
#[derive(Debug)]
pub struct Admission {
    /// Row changes and effects of the step.
    pub decision: Decision,
    /// Trace context of the task; `None` if its trace is not sampled.
    pub trace_context: Option<String>,
    /// Wave of the admitted targets and their number; `None` if no target was admitted.
    pub admitted: Option<(u16, u32)>,
    /// Whether another step may admit more targets immediately.
    pub has_more: bool,
}

impl<F: Faults> Engine<F> {
    /// Runs one admission step of a task. Returns `None` when the task admits no target now.
    pub async fn admit<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        now: Timestamp,
    ) -> Result<Option<Admission>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else { return Ok(None) };
        if rollout.facts.status.admits_no_more() || rollout.admission_block().is_some() {
            return Ok(None);
        }
        rollout.open_current();
        let mut room = Room::lock(rows, &rollout.facts, self.faults).await?;
        if rollout.waves.iter().any(|row| row.state.admits_by_results()) || room.is_limited() {
            // Deferred targets that wait for a slot go before targets that were never admitted.
            self.hand_out_deferred(rows, &mut rollout, &mut room).await?;
        }
        let admitted = self.admit_next(rows, &mut rollout, &mut room).await?;
        self.settle(rows, &mut rollout).await?;
        let has_more = room.of(rollout.admission()) > 0;
        let trace_context = rollout.facts.trace_context.clone();
        Ok(Some(Admission { decision: rollout.decide(), trace_context, admitted, has_more }))
    }

    /// Admits the next targets of the open wave. Returns the wave and the number of targets.
    async fn admit_next<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        room: &mut Room,
    ) -> Result<Option<(u16, u32)>, R::Error> {
        let number = room.of(rollout.admission());
        let Some(current) = rollout.current().filter(|_| number > 0) else { return Ok(None) };
        let (wave, first) = (current.wave, current.first_ordinal + current.cursor);
        current.state.admitted += number;
        current.cursor += number;
        let selection = TargetSelection::Next { first, number };
        let mut targets = self.targets(rows, rollout, selection, TargetDetail::Presence).await?;
        let terms = BatchTerms {
            task_id: rollout.task_id(),
            wave,
            deadlines: rollout.facts.deadlines(rollout.now),
            wait_until: rollout.now + BUSY_WAIT,
            maybe_delivered: false,
            worker_deaths: 0,
        };
        rollout.effect(Effect::Admitted { wave, first, number });
        room.take(rollout.hand_out_new(&terms, &mut targets));
        Ok(Some((wave, number)))
    }
}
