//! Selects the ready batches that a worker leases.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::time_missing,
    fair_share::{Claim, TaskClaim, task_shares},
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
    /// and between the tasks of a project. Some places are reserved for tasks and projects with few
    /// targets on the worker (see `domain::fair_share`). A batch is split if it does not fit into
    /// the share of its task. A batch that waited until its delivery deadline gets a last minute
    /// for the delivery.
    pub fn choose(&self, ready: &[ReadyBatch], room: u32, now: Timestamp) -> Vec<LeaseChoice> {
        let is_unfair = self.faults.breaks(Rule::FirstComeFirstLeased);
        let mut rooms = if is_unfair { first_come(ready, room) } else { task_rooms(ready, room) };
        let mut choices = Vec::new();
        for batch in ready {
            let Some(room) = rooms.get_mut(&batch.task_id).filter(|room| **room > 0) else { continue };
            let part = (batch.size > *room).then_some(*room);
            let missing = time_missing(&batch.deadlines, now, batch.delivery);
            let later = if batch.may_wait { missing } else { TimeDelta::zero() };
            choices.push(LeaseChoice { task_id: batch.task_id, batch_id: batch.batch_id, part, later });
            *room -= batch.size.min(*room);
        }
        choices
    }
}

/// Returns the number of targets that each task may lease.
fn task_rooms(ready: &[ReadyBatch], room: u32) -> BTreeMap<TaskId, u32> {
    let Some(capacity) = ready.first().map(|batch| batch.capacity) else { return BTreeMap::new() };
    let mut tasks: Vec<(TaskId, TaskClaim<&ProjectId>)> = Vec::new();
    for batch in ready {
        match tasks.iter_mut().find(|(task_id, _)| *task_id == batch.task_id) {
            Some((_, claim)) => claim.own.wanted += batch.size,
            None => tasks.push((batch.task_id, claim(batch))),
        }
    }
    let (task_ids, claims): (Vec<TaskId>, Vec<TaskClaim<&ProjectId>>) = tasks.into_iter().unzip();
    task_ids.into_iter().zip(task_shares(room, capacity, &claims)).collect()
}

/// Gives the whole room to the oldest batches. Only a deliberate fault does so.
fn first_come(ready: &[ReadyBatch], mut room: u32) -> BTreeMap<TaskId, u32> {
    let mut oldest: Vec<&ReadyBatch> = ready.iter().collect();
    oldest.sort_by_key(|batch| batch.batch_id);
    let mut rooms = BTreeMap::new();
    for batch in oldest {
        let given = batch.size.min(room);
        *rooms.entry(batch.task_id).or_default() += given;
        room -= given;
    }
    rooms
}

fn claim(batch: &ReadyBatch) -> TaskClaim<&ProjectId> {
    TaskClaim {
        project: &batch.project_id,
        held_by_project: batch.held_by_project,
        own: Claim { held: batch.held_by_task, wanted: batch.size },
    }
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
            capacity: 10,
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
    fn places_of_large_workers_are_reserved_for_small_tasks() {
        let of_large = |batch: ReadyBatch| ReadyBatch { capacity: 10_000, ..batch };
        let large = of_large(batch(1, "big", 1, 500, [9_500, 9_500]));
        assert_eq!(chosen(std::slice::from_ref(&large), 500), []);
        let urgent = of_large(batch(2, "big", 2, 1, [9_500, 0]));
        assert_eq!(chosen(&[large, urgent], 500), [(1, 1)]);
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
