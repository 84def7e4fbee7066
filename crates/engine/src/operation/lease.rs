//! Selects the ready batches that a worker leases.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::time_missing,
    fair_share::{Claim, shares},
    ids::{ProjectId, TaskId, WorkerId},
    quarantine,
};

use super::Engine;
use crate::{
    Faults, LeaseRows, Rule,
    row::{LeaseChoice, ReadyBatch},
};

/// Number of batches that one pull reads.
const BATCHES_PER_PULL: u32 = 64;

impl<F: Faults> Engine<F> {
    /// Locks the batches that a worker may lease now. Every project and every task with such a
    /// batch has one among the first. Of batches under suspicion (see `domain::quarantine`) it
    /// returns at most one. It returns none while the worker holds another one that it leased
    /// within the last `lease`, the duration of a lease.
    pub async fn leasable<R: LeaseRows>(
        &self,
        rows: &mut R,
        worker_id: &WorkerId,
        now: Timestamp,
        lease: TimeDelta,
    ) -> Result<Vec<ReadyBatch>, R::Error> {
        let with_suspended = self.faults.breaks(Rule::LeaseWhileSuspended);
        let (mut ready, mut has_suspect) =
            rows.lock_leasable(worker_id, now - lease, with_suspended, BATCHES_PER_PULL).await?;
        ready.retain(|batch| {
            if !quarantine::is_suspect(batch.worker_deaths) {
                return true;
            }
            !std::mem::replace(&mut has_suspect, true)
        });
        Ok(ready)
    }

    /// Chooses batches until their targets fill `room`, in shares that are fair between projects
    /// and between the tasks of a project. A batch is split if it does not fit into the share of
    /// its task. A batch that waited until its delivery deadline gets a last minute for the
    /// delivery.
    pub fn choose(&self, ready: &[ReadyBatch], room: u32, now: Timestamp) -> Vec<LeaseChoice> {
        let mut shares = task_shares(ready, room);
        let mut choices = Vec::new();
        for batch in ready {
            let Some(share) = shares.get_mut(&batch.task_id).filter(|share| **share > 0) else { continue };
            let part = (batch.size > *share).then_some(*share);
            let missing = time_missing(&batch.deadlines, now, batch.delivery);
            let later = if batch.may_wait { missing } else { TimeDelta::zero() };
            choices.push(LeaseChoice { task_id: batch.task_id, batch_id: batch.batch_id, part, later });
            *share -= batch.size.min(*share);
        }
        choices
    }
}

/// Returns the number of targets that each task may lease.
fn task_shares(ready: &[ReadyBatch], room: u32) -> BTreeMap<TaskId, u32> {
    let project_claims = claims(ready, |batch| (&batch.project_id, batch.held_by_project));
    let project_rooms = shares_of(room, &project_claims);
    let tasks_of = |project_id: &ProjectId, room: u32| {
        let own = ready.iter().filter(|batch| batch.project_id == *project_id);
        shares_of(room, &claims(own, |batch| (batch.task_id, batch.held_by_task)))
    };
    project_rooms.into_iter().flat_map(|(project_id, room)| tasks_of(project_id, room)).collect()
}

/// Sums the targets that each claimant wants, in the order of the batches.
fn claims<'a, K: PartialEq>(
    ready: impl IntoIterator<Item = &'a ReadyBatch>,
    claimant: impl Fn(&'a ReadyBatch) -> (K, u32),
) -> Vec<(K, Claim)> {
    let mut claims: Vec<(K, Claim)> = Vec::new();
    for batch in ready {
        let (key, held) = claimant(batch);
        match claims.iter_mut().find(|(known, _)| *known == key) {
            Some((_, claim)) => claim.wanted += batch.size,
            None => claims.push((key, Claim { held, wanted: batch.size })),
        }
    }
    claims
}

fn shares_of<K: Copy>(room: u32, claims: &[(K, Claim)]) -> Vec<(K, u32)> {
    let wanted: Vec<Claim> = claims.iter().map(|(_, claim)| *claim).collect();
    claims.iter().map(|(key, _)| *key).zip(shares(room, &wanted)).collect()
}

#[cfg(test)]
mod tests {
    use domain::deadline::Deadlines;

    use super::*;

    fn batch(number: u8, project: &str, task: u8, size: u32, held: [u32; 2]) -> ReadyBatch {
        let [held_by_project, held_by_task] = held;
        let deliver_by = Timestamp::UNIX_EPOCH + TimeDelta::minutes(10);
        let id = |kind: u8, number: u8| format!("01890000-0000-7000-80{kind:02}-0000000000{number:02}");
        ReadyBatch {
            project_id: project.parse().unwrap(),
            task_id: id(1, task).parse().unwrap(),
            batch_id: id(2, number).parse().unwrap(),
            size,
            deadlines: Deadlines { deliver_by, finish_by: deliver_by },
            delivery: TimeDelta::minutes(10),
            may_wait: true,
            held_by_project,
            held_by_task,
            ids_bytes: 0,
            worker_deaths: 0,
            max_running: None,
        }
    }

    /// Sizes of the chosen parts, by the place of their batch.
    fn chosen(ready: &[ReadyBatch], room: u32) -> Vec<(usize, u32)> {
        let place = |choice: &LeaseChoice| ready.iter().position(|batch| batch.batch_id == choice.batch_id);
        let choices = Engine::new().choose(ready, room, Timestamp::UNIX_EPOCH);
        let parts = choices.iter().map(|choice| {
            let place = place(choice).unwrap();
            (place, choice.part.unwrap_or(ready[place].size))
        });
        parts.collect()
    }

    #[test]
    fn one_task_fills_the_room_in_order() {
        let ready = [batch(1, "p", 1, 40, [0, 0]), batch(2, "p", 1, 40, [0, 0]), batch(3, "p", 1, 9, [0, 0])];
        assert_eq!(chosen(&ready, 50), [(0, 40), (1, 10)]);
        assert_eq!(chosen(&ready, 100), [(0, 40), (1, 40), (2, 9)]);
        assert_eq!(chosen(&ready, 0), []);
    }

    #[test]
    fn urgent_fix_does_not_wait_behind_another_project() {
        let held = [9_999, 9_999];
        let ready =
            [batch(1, "big", 1, 100, held), batch(2, "big", 1, 100, held), batch(3, "fix", 2, 1, [0, 0])];
        assert_eq!(chosen(&ready, 1), [(2, 1)]);
        assert_eq!(chosen(&ready, 101), [(0, 100), (2, 1)]);
    }

    #[test]
    fn projects_share_first_and_then_their_tasks() {
        let ready =
            [batch(1, "a", 1, 100, [0, 0]), batch(2, "a", 2, 100, [0, 0]), batch(3, "b", 3, 100, [0, 0])];
        assert_eq!(chosen(&ready, 40), [(0, 10), (1, 10), (2, 20)]);
    }

    #[test]
    fn batch_that_waited_gets_a_last_minute() {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(595);
        let later = |batch: ReadyBatch, now| Engine::new().choose(&[batch], 1, now)[0].later;
        let waited = batch(1, "p", 1, 1, [0, 0]);
        assert_eq!(later(waited.clone(), now), TimeDelta::seconds(55));
        assert_eq!(later(waited.clone(), Timestamp::UNIX_EPOCH), TimeDelta::zero());
        assert_eq!(later(ReadyBatch { may_wait: false, ..waited }, now), TimeDelta::zero());
    }
}
