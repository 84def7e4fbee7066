//! Fair sharing of a worker's places: after each lease, the places are counted from the rows.

use std::collections::BTreeMap;

use domain::{fair_share::reserved, quarantine};
use engine::row::BatchRow;

use super::{
    coverage::Feature,
    event::{Task, Worker},
    world::World,
};

/// Number of ready batches that one pull reads. Batches beyond it claim nothing.
const BATCHES_PER_PULL: usize = 64;
/// Places by which a claimant may be ahead: the last places go by the order of the claims.
const TOLERANCE: u32 = 1;

/// Places of one claimant on a worker, after a lease.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    /// Number of targets that the worker holds, with those of this lease.
    held: u32,
    /// Number of targets in this lease.
    given: u32,
    /// Number of targets in batches that stayed ready.
    left: u32,
}

impl Places {
    fn add(&mut self, other: Self) {
        self.held += other.held;
        self.given += other.given;
        self.left += other.left;
    }

    /// Whether this claimant got a place that `other` had to get: `other` holds fewer, and still
    /// waits for one. Up to `from_reserves` places may be reserved ones, which only small claimants
    /// get.
    const fn passes_over(&self, other: &Self, from_reserves: u32) -> bool {
        self.given > from_reserves && other.left > 0 && self.held > other.held + TOLERANCE + from_reserves
    }
}

impl World {
    /// A place goes to the project that holds the fewest on the worker, and within the project to
    /// the task that holds the fewest. No place stays free while a target waits for one, except
    /// reserved places that no waiting project or task may have.
    pub(in crate::rollout) fn check_shares(&mut self, worker: Worker, room: u32, leased: &[BatchRow]) {
        let Some(by_task) = self.places(worker, leased) else { return };
        let mut by_project: BTreeMap<usize, Places> = BTreeMap::new();
        for (&task, places) in &by_task {
            by_project.entry(self.tasks[task].project).or_default().add(*places);
        }
        let mut sum = Places::default();
        by_task.values().for_each(|places| sum.add(*places));
        let claimants = by_task.values().filter(|places| places.given + places.left > 0).count();
        if claimants > 1 && sum.left > 0 {
            self.coverage.add(Feature::RoomShared);
        }
        let reserved = reserved(self.scenario.cluster.capacity);
        let free = room - sum.given;
        let may_wait = |places: &Places| places.left == 0 || places.held >= reserved;
        let are_used = sum.left == 0
            || free == 0
            || free <= 2 * reserved
                && by_project.values().all(may_wait)
                && (free <= reserved || by_task.values().all(may_wait));
        self.must(are_used, "no place stays free while a target waits", || {
            format!("worker {worker} had room for {room}: {sum:?}, {by_task:?}")
        });
        let from_reserves = 2 * reserved;
        let of_projects = unfair(&by_project, from_reserves);
        self.must(of_projects.is_none(), "the project that holds the fewest places is served first", || {
            format!("worker {worker} with room for {room}: {of_projects:?} of {by_project:?}")
        });
        for &project in by_project.keys() {
            let is_own = |(task, _): &(&Task, &Places)| self.tasks[**task].project == project;
            let own: BTreeMap<Task, Places> =
                by_task.iter().filter(is_own).map(|(&task, &places)| (task, places)).collect();
            let of_tasks = unfair(&own, from_reserves);
            self.must(of_tasks.is_none(), "the task that holds the fewest places is served first", || {
                format!("worker {worker} with room for {room}: {of_tasks:?} of {own:?}")
            });
        }
    }

    /// Places on a worker by task; `None` if more batches are ready than one pull reads.
    fn places(&self, worker: Worker, leased: &[BatchRow]) -> Option<BTreeMap<Task, Places>> {
        let worker_id = &self.worker_ids[worker];
        let mut by_task: BTreeMap<Task, Places> = BTreeMap::new();
        let mut ready = leased.len();
        for batch in self.store.batches().filter(|batch| batch.row.worker_id == *worker_id) {
            let row = &batch.row;
            let size = u32::try_from(row.members.len()).unwrap_or(u32::MAX);
            let places = by_task.entry(self.number_of(row.terms.task_id)).or_default();
            if row.lease_until.is_some() {
                places.held += size.saturating_sub(batch.reported);
                let is_new = leased.iter().any(|new| new.batch_id == row.batch_id);
                places.given += if is_new { size } else { 0 };
            } else if !row.suspended && !quarantine::is_suspect(row.terms.worker_deaths) {
                // Suspected batches go out by other rules.
                places.left += size;
                ready += 1;
            }
        }
        (ready <= BATCHES_PER_PULL).then_some(by_task)
    }
}

/// The first claimant that got a place of another one, and that one.
fn unfair(claimants: &BTreeMap<usize, Places>, from_reserves: u32) -> Option<(usize, usize)> {
    claimants.iter().find_map(|(&ahead, places)| {
        let behind = claimants.iter().find(|(_, other)| places.passes_over(other, from_reserves));
        behind.map(|(&behind, _)| (ahead, behind))
    })
}
