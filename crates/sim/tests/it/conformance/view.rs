//! All rows of a store, as the engine reads them, with batch ids that are the same in both stores.

use std::{collections::BTreeMap, fmt::Debug};

use domain::{
    Timestamp,
    ids::{BatchId, TaskId, WorkerId},
};
use engine::{DueTimes, DutyKind, LeaseRows, Rows, TargetDetail, TargetSelection, row::Presence};
use uuid::Uuid;

use super::pair::Task;

/// Rows that one read may return.
const ALL: u32 = 10_000;

/// What a store holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) lines: Vec<String>,
    /// Batch id by task and ordinal.
    pub(super) batches: BTreeMap<(TaskId, u32), BatchId>,
}

impl View {
    fn add(&mut self, of: impl Debug, rows: impl Debug) {
        self.lines.push(format!("{of:?}: {rows:?}"));
    }

    /// Reads everything that the engine can read.
    pub(super) async fn read<R>(rows: &mut R, tasks: &[Task], workers: &[WorkerId], now: Timestamp) -> Self
    where
        R: Rows + LeaseRows<Error = <R as Rows>::Error>,
        <R as Rows>::Error: Debug,
    {
        let mut view = Self { lines: Vec::new(), batches: BTreeMap::new() };
        for task in tasks {
            view.read_batches(rows, task).await;
            view.read_task(rows, task, now).await;
        }
        for kind in DutyKind::ALL {
            let mut duties = rows.due(kind, DueTimes::at(now), ALL).await.unwrap();
            for duty in &mut duties {
                duty.ordinals.sort_unstable();
                duty.batch_id = duty.ordinals.first().map(|&ordinal| canonical(ordinal));
            }
            duties.sort_by_key(|duty| (duty.task_id, duty.ordinals.clone()));
            view.add(kind, duties);
        }
        for worker_id in workers {
            let (ready, _) = rows.lock_leasable(worker_id, now, false, ALL).await.unwrap();
            // Of suspected batches Postgres reads one, and any of those that are equally old.
            let mut ready: Vec<_> = ready
                .into_iter()
                .filter(|batch| !domain::quarantine::is_suspect(batch.worker_deaths))
                .collect();
            for batch in &mut ready {
                batch.batch_id = canonical(view.first_ordinal(batch.batch_id));
            }
            ready.sort_by_key(|batch| (batch.task_id, batch.batch_id));
            view.add(worker_id, ready);
        }
        view
    }

    fn first_ordinal(&self, batch_id: BatchId) -> u32 {
        let found = self.batches.iter().find(|(_, other)| **other == batch_id);
        found.map(|((_, ordinal), _)| *ordinal).unwrap()
    }

    async fn read_batches<R>(&mut self, rows: &mut R, task: &Task)
    where
        R: Rows,
        R::Error: Debug,
    {
        let Task { task_id, project_id, size } = task.clone();
        let all: Vec<u32> = (0..size).collect();
        let mut places = rows.whereabouts(task_id, &all).await.unwrap();
        places.sort_by_key(|place| place.ordinal);
        for place in &mut places {
            if let Some(batch_id) = &mut place.batch_id {
                self.batches.insert((task_id, place.ordinal), *batch_id);
                *batch_id = canonical(self.first_ordinal(*batch_id));
            }
        }
        self.add("places", places);
        let of_task =
            self.batches.iter().filter(|((of, _), _)| *of == task_id).map(|(_, batch_id)| *batch_id);
        let ids: std::collections::BTreeSet<BatchId> = of_task.collect();
        let ids: Vec<BatchId> = ids.into_iter().collect();
        let mut batches = rows.lock_batches(task_id, &ids).await.unwrap();
        batches.sort_by_key(|row| row.members.first().map(|member| member.ordinal));
        for row in &mut batches {
            row.batch_id = canonical(self.first_ordinal(row.batch_id));
        }
        self.add("batches", batches);
        let mut ready = rows.lock_ready(task_id).await.unwrap();
        for row in &mut ready {
            row.batch_id = canonical(self.first_ordinal(row.batch_id));
        }
        ready.sort_by_key(|row| row.batch_id);
        self.add("ready", ready);
        let (selection, detail) = (TargetSelection::Ordinals(&all), TargetDetail::Leases(&ids));
        let mut targets = rows.targets(task_id, &project_id, selection, detail).await.unwrap();
        for lease in targets.iter_mut().filter_map(|target| target.lease.as_mut()) {
            lease.batch_id = canonical(self.first_ordinal(lease.batch_id));
        }
        self.add("reported", targets);
    }

    async fn read_task<R>(&mut self, rows: &mut R, task: &Task, now: Timestamp)
    where
        R: Rows,
        R::Error: Debug,
    {
        let Task { task_id, project_id, size } = task.clone();
        let all: Vec<u32> = (0..size).collect();
        let mut snapshot = rows.lock(task_id, &all).await.unwrap().unwrap();
        // Read only where a rule asks for it, and never stored.
        snapshot.settled = domain::gate::Results::default();
        for row in &mut snapshot.waves {
            row.state.others = domain::wave::OtherWaves::default();
            row.state.terms.max_concurrency = snapshot.facts.max_concurrency;
        }
        for wave in snapshot.waves.iter().map(|row| row.wave) {
            let mut reachable = rows.reachable_deferred(task_id, wave, 2, now).await.unwrap();
            reachable.sort_by_key(|row| row.member.ordinal);
            reachable.iter_mut().for_each(|row| normalise(row.presence.as_mut()));
            self.add("reachable", reachable);
        }
        self.add("task", &snapshot);
        self.add("tallies", rows.other_tallies(task_id, &[1]).await.unwrap());
        self.add("room", rows.lock_room(&project_id).await.unwrap());
        let selection = TargetSelection::Ordinals(&all);
        let mut targets =
            rows.targets(task_id, &project_id, selection, TargetDetail::Presence).await.unwrap();
        targets.iter_mut().for_each(|row| normalise(row.presence.as_mut()));
        self.add("targets", targets);
        let mut deferred = rows.deferred(task_id, &all).await.unwrap();
        deferred.sort_by_key(|row| row.member.ordinal);
        deferred.iter_mut().for_each(|row| normalise(row.presence.as_mut()));
        self.add("deferred", deferred);
        let mut awaited = rows.awaited_returns(task_id, &all).await.unwrap();
        awaited.sort_by_key(|row| row.awaited.ordinal);
        for presence in awaited.iter_mut().filter_map(|row| row.presence.as_mut()) {
            let boot_id = std::mem::take(&mut presence.boot_id);
            normalise(Some(&mut *presence));
            presence.boot_id = boot_id;
        }
        self.add("awaited", awaited);
        let mut fingerprints: Vec<i64> = rows.fingerprint_ids(task_id).await.unwrap().into_iter().collect();
        fingerprints.sort_unstable();
        self.add("fingerprints", fingerprints);
    }
}

/// Where a desktop is offline, nothing is said of a worker.
fn normalise(presence: Option<&mut Presence>) {
    let Some(presence) = presence else { return };
    // Read only with awaited returns. Desktops in memory have no version.
    (presence.boot_id, presence.agent_version) = (String::new(), String::new());
    if presence.worker_id.is_none() {
        presence.is_draining = false;
    }
}

/// A batch is known by its first target, which is in no other batch of its task.
fn canonical(ordinal: u32) -> BatchId {
    BatchId(Uuid::from_u128(ordinal.into()))
}
