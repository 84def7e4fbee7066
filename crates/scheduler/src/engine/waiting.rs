//! Hands out targets that waited for their desktops, now that these are back.

use std::collections::BTreeMap;

use domain::{Timestamp, cut::Placed, deadline, ids::TaskId};
use store::{
    Connection, Error,
    batch::BatchTerms,
    straggler::{self, Taken},
    task::TaskFacts,
    wave::Live,
};

use super::cut::{Room, end_replaced, hand_to_workers};

/// Of every wave that can still change, as many as there are places for. Those that hold a place already need none.
pub(super) async fn hand_out(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    room: &mut Room,
    now: Timestamp,
) -> Result<(), Error> {
    let waves: Vec<u16> = live.waves.iter().map(|row| row.wave).collect();
    let mut replaced = Vec::new();
    for wave in waves {
        live.relate();
        let places = live.wave(wave).map_or(0, |row| row.state.late_admission());
        let taken = straggler::take_reachable(connection, task_id, live, wave, room.of(places), now).await?;
        for (mut terms, placed) in by_terms(taken) {
            if !terms.maybe_handed {
                terms.deadlines = deadline::after_waiting(terms.deadlines, now, &facts.timeouts);
            }
            tracing::debug!(%task_id, wave, targets = placed.len(), "desktops are back");
            let mut handed = hand_to_workers(connection, facts, live, &terms, placed, now).await?;
            if !terms.maybe_handed {
                room.take(handed.targets);
            }
            replaced.append(&mut handed.replaced);
        }
    }
    end_replaced(connection, task_id, facts, live, &replaced, now).await
}

/// Groups stragglers that may share a batch.
fn by_terms(taken: Vec<Taken>) -> Vec<(BatchTerms, Vec<Placed>)> {
    let mut groups: BTreeMap<_, (BatchTerms, Vec<Placed>)> = BTreeMap::new();
    for Taken { terms, placed } in taken {
        let key = (
            terms.wave,
            terms.maybe_handed,
            terms.losses,
            terms.deadlines.deliver_by,
            terms.deadlines.finish_by,
        );
        groups.entry(key).or_insert_with(|| (terms, Vec::new())).1.push(placed);
    }
    groups.into_values().collect()
}
