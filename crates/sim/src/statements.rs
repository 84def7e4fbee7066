//! Statements that schedulers and use cases run beside the engine, on rows in memory: heartbeats,
//! connections, renewals, and the reads that find work. `store` has each of them as SQL.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
    outcome::Outcome,
    retry::Remainder,
    wave::WaveStatus,
};
use engine::{
    Wake,
    row::{OutOfService, Presence, TaskFacts, WaveRow},
};

use crate::memory::{Batch, MemoryStore, TaskTable, WorkerRow};

/// A desktop by its key.
pub(crate) type DesktopKey<'a> = (&'a ProjectId, &'a DesktopId);

impl MemoryStore {
    /// Takes the wake-ups that were sent since the last call.
    pub fn take_wakes(&mut self) -> BTreeSet<Wake> {
        std::mem::take(&mut self.wakes)
    }

    /// The connection of a desktop; `None` when no such desktop is known.
    pub fn presence(&self, project_id: &ProjectId, desktop_id: &DesktopId) -> Option<&Presence> {
        self.desktops.get(project_id)?.get(desktop_id)
    }

    /// Batches of all tasks.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.tasks.values().flat_map(|table| table.batches.values())
    }

    /// Stores a heartbeat. Returns true when the worker was not known.
    pub fn put_heartbeat(
        &mut self,
        worker_id: &WorkerId,
        capacity: u32,
        is_draining: bool,
        now: Timestamp,
    ) -> bool {
        let row = WorkerRow { heartbeat_at: now, is_draining, capacity };
        let known = self.workers.insert(worker_id.clone(), row);
        if known.is_none_or(|known| known.is_draining != is_draining) {
            self.set_takes_work(worker_id, !is_draining);
        }
        known.is_none()
    }

    /// Workers whose last heartbeat is older than a moment.
    pub fn silent_since(&self, moment: Timestamp) -> Vec<WorkerId> {
        let silent = self.workers.iter().filter(|(_, worker)| worker.heartbeat_at < moment);
        silent.map(|(worker_id, _)| worker_id.clone()).collect()
    }

    /// Stores that a desktop's agent is connected to a worker. Returns false when the worker is not
    /// known. A desktop that moves from one worker to another was online all the time.
    pub fn connect(
        &mut self,
        worker_id: &WorkerId,
        (project_id, desktop_id): DesktopKey<'_>,
        agent_id: &str,
        boot_id: &str,
        now: Timestamp,
    ) -> bool {
        let Some(&WorkerRow { is_draining, .. }) = self.workers.get(worker_id) else { return false };
        let before = self.presence(project_id, desktop_id);
        if before.is_some_and(|presence| presence.out_of_service == Some(OutOfService::Retired)) {
            return true;
        }
        let online_since = before.filter(|it| it.worker_id.is_some()).map(|it| it.changed_at);
        let presence = Presence {
            worker_id: Some(worker_id.clone()),
            is_draining,
            time_zone: before.map(|it| it.time_zone.clone()).unwrap_or_default(),
            agent_id: agent_id.to_owned(),
            boot_id: boot_id.to_owned(),
            agent_version: String::new(),
            changed_at: online_since.unwrap_or(now),
            full_until: None,
            out_of_service: None,
            has_backlog: false,
        };
        self.desktops.entry(project_id.clone()).or_default().insert(desktop_id.clone(), presence);
        self.out_of_service_since.remove(&(project_id.clone(), desktop_id.clone()));
        self.join_presence(|it| it == desktop_id);
        self.wakes.insert(Wake::Presence);
        true
    }

    /// Retires a desktop, or revokes its certificates: its connection counts no more. A retired
    /// desktop stays so. An unknown desktop is left alone.
    pub fn put_out_of_service(
        &mut self,
        (project_id, desktop_id): DesktopKey<'_>,
        reason: OutOfService,
        now: Timestamp,
    ) {
        let desktops = self.desktops.get_mut(project_id);
        let Some(presence) = desktops.and_then(|all| all.get_mut(desktop_id)) else { return };
        if presence.out_of_service != Some(OutOfService::Retired) {
            presence.out_of_service = Some(reason);
        }
        if presence.worker_id.take().is_some() {
            presence.changed_at = now;
        }
        let key = (project_id.clone(), desktop_id.clone());
        self.out_of_service_since.entry(key).or_insert(now);
        self.join_presence(|it| it == desktop_id);
        self.wakes.insert(Wake::Presence);
    }

    /// Stores that a worker lost a desktop, unless another worker holds the desktop.
    pub fn disconnect(
        &mut self,
        worker_id: &WorkerId,
        (project_id, desktop_id): DesktopKey<'_>,
        now: Timestamp,
    ) {
        let desktops = self.desktops.get_mut(project_id).filter(|_| self.workers.contains_key(worker_id));
        let desktop = desktops.and_then(|all| all.get_mut(desktop_id));
        if let Some(presence) = desktop.filter(|presence| presence.worker_id.as_ref() == Some(worker_id)) {
            (presence.worker_id, presence.changed_at) = (None, now);
            self.join_presence(|it| it == desktop_id);
        }
    }

    /// Forgets a worker with its desktops and leases, if its last heartbeat is older than
    /// `silent_since`; `None` forgets the worker in any case. The leases end at the beginning of
    /// time. A worker that died may have died of its targets.
    pub fn forget_worker(
        &mut self,
        worker_id: &WorkerId,
        silent_since: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let Some(worker) = self.workers.get(worker_id) else { return false };
        if silent_since.is_some_and(|moment| worker.heartbeat_at >= moment) {
            return false;
        }
        self.workers.remove(worker_id);
        let desktops = self.desktops.values_mut().flat_map(|all| all.values_mut());
        for desktop in desktops.filter(|desktop| desktop.worker_id.as_ref() == Some(worker_id)) {
            (desktop.worker_id, desktop.is_draining, desktop.changed_at) = (None, true, now);
        }
        self.set_takes_work(worker_id, false);
        let batches = self.tasks.values_mut().flat_map(|table| table.batches.values_mut());
        for batch in batches.filter(|batch| batch.row.worker_id == *worker_id) {
            let lease = batch.row.lease_until.as_mut();
            if let Some(until) = lease.filter(|until| **until > Timestamp::UNIX_EPOCH) {
                *until = Timestamp::UNIX_EPOCH;
                batch.row.terms.worker_deaths += u16::from(silent_since.is_some());
            }
        }
        self.wakes.insert(Wake::Presence);
        true
    }

    /// Copies whether a worker takes work into the rows that are read with it.
    fn set_takes_work(&mut self, worker_id: &WorkerId, takes_work: bool) {
        let batches = self.tasks.values_mut().flat_map(|table| table.batches.values_mut());
        for batch in batches.filter(|batch| batch.row.worker_id == *worker_id) {
            batch.row.has_holder = takes_work;
        }
        let desktops = self.desktops.values_mut().flat_map(|all| all.values_mut());
        for desktop in desktops.filter(|desktop| desktop.worker_id.as_ref() == Some(worker_id)) {
            desktop.is_draining = !takes_work;
        }
        self.join_presence(|_| true);
    }

    /// Copies the presence of desktops into the deferred targets and awaited returns that are read
    /// with it.
    fn join_presence(&mut self, is_concerned: impl Fn(&DesktopId) -> bool) {
        let Self { tasks, desktops, .. } = self;
        for table in tasks.values_mut() {
            let Some(desktops) = desktops.get(&table.facts.project_id) else { continue };
            for row in table.deferred.values_mut().filter(|row| is_concerned(&row.member.desktop_id)) {
                row.presence = desktops.get(&row.member.desktop_id).cloned();
            }
            for row in table.awaited.values_mut().filter(|row| is_concerned(&row.awaited.desktop_id)) {
                row.presence = desktops.get(&row.awaited.desktop_id).cloned();
            }
        }
    }

    /// Whether a worker has a ready batch, held or not.
    pub fn has_ready(&self, worker_id: &WorkerId) -> bool {
        self.batches().any(|batch| batch.row.worker_id == *worker_id && batch.row.lease_until.is_none())
    }

    /// Extends the leases that the worker still holds. Returns the others.
    pub fn renew(
        &mut self,
        worker_id: &WorkerId,
        leases: Vec<(TaskId, BatchId)>,
        until: Timestamp,
    ) -> Vec<(TaskId, BatchId)> {
        let mut lost = leases;
        lost.retain(|(task_id, batch_id)| {
            let batch = self.tasks.get_mut(task_id).and_then(|table| table.batches.get_mut(batch_id));
            let held = batch.filter(|batch| batch.row.worker_id == *worker_id);
            held.and_then(|batch| batch.row.lease_until.as_mut()).map(|end| *end = until).is_none()
        });
        lost
    }

    /// Targets without a result that a worker holds and that are to be stopped.
    pub fn stops_of(&self, worker_id: &WorkerId) -> Vec<(TaskId, u32)> {
        let mut stops = Vec::new();
        for (&task_id, table) in self.tasks.iter().filter(|(_, table)| table.has_stops()) {
            let rows = table.batches.values().map(|batch| &batch.row);
            let rows =
                rows.filter(|row| row.worker_id == *worker_id && row.stop && row.lease_until.is_some());
            let ordinals = rows.flat_map(|row| &row.members).map(|member| member.ordinal);
            let is_stopped = |ordinal: &u32| table.facts.killing || table.stops.contains_key(ordinal);
            let stopped = ordinals.filter(is_stopped).filter(|&ordinal| !table.has_ended(ordinal));
            stops.extend(stopped.map(|ordinal| (task_id, ordinal)));
        }
        stops
    }

    /// Whether any task has something to stop.
    pub fn has_stops(&self) -> bool {
        self.tasks.values().any(TaskTable::has_stops)
    }

    /// Tasks that may have something to cut at `now`. The engine decides on holds and approvals.
    pub fn admissible(&self, now: Timestamp) -> Vec<TaskId> {
        let may_cut = |table: &TaskTable| {
            let next = table.current().filter(|_| !table.facts.status.admits_no_more());
            next.is_some_and(|row| match row.state.status {
                WaveStatus::Open => row.cursor < row.state.size,
                WaveStatus::Pending => row.opening.opens_at.is_none_or(|opens_at| opens_at <= now),
                _ => false,
            })
        };
        self.tasks.iter().filter(|(_, table)| may_cut(table)).map(|(&task_id, _)| task_id).collect()
    }

    /// The task that retries a whole task, or the given record of the task.
    pub fn successor(&self, task_id: TaskId, record: Option<(u32, u16)>) -> Option<TaskId> {
        let retries = |table: &TaskTable| {
            table.retry_of.is_some_and(|(old_id, of)| old_id == task_id && (of.is_none() || of == record))
        };
        self.tasks.iter().find(|(_, table)| retries(table)).map(|(&task_id, _)| task_id)
    }

    /// Targets of a task with scripts that have no successful record, by ordinal. Targets with a
    /// record that was retried are left out, and those of retired desktops.
    pub fn remainder(&self, task_id: TaskId) -> BTreeMap<u32, Remainder> {
        let Some(table) = self.tasks.get(&task_id) else { return BTreeMap::new() };
        let is_retried = |ordinal: u32| {
            let retries = self.tasks.values().filter_map(|table| table.retry_of);
            retries
                .filter(|(old_id, _)| *old_id == task_id)
                .any(|(_, of)| of.is_some_and(|it| it.0 == ordinal))
        };
        let remainder = |((desktop_id, first_script), ordinal): (&(DesktopId, u16), u32)| {
            let records = table.records[ordinal as usize].iter();
            let successes = records.filter(|record| record.outcome == Outcome::Success).count();
            let successes = u16::try_from(successes).unwrap_or(u16::MAX);
            let first_script = successes.max(*first_script);
            let presence = self.presence(&table.facts.project_id, desktop_id);
            let is_retired = presence.is_some_and(|it| it.out_of_service == Some(OutOfService::Retired));
            let is_left = successes < table.facts.script_count && !is_retried(ordinal) && !is_retired;
            is_left.then(|| (ordinal, Remainder { desktop_id: desktop_id.clone(), first_script }))
        };
        table.targets.iter().zip(0..).filter_map(remainder).collect()
    }
}

impl TaskTable {
    /// The rows of a task that was just accepted.
    pub fn new(facts: TaskFacts, waves: Vec<WaveRow>, targets: Vec<(DesktopId, u16)>) -> Self {
        Self {
            facts,
            waves,
            batches: BTreeMap::new(),
            deferred: BTreeMap::new(),
            awaited: BTreeMap::new(),
            stops: BTreeMap::new(),
            records: vec![Vec::new(); targets.len()],
            failures: BTreeMap::new(),
            events: Vec::new(),
            retry_of: None,
            targets,
        }
    }

    /// The current wave: the first that is not closed.
    pub fn current(&self) -> Option<&WaveRow> {
        self.waves.iter().find(|row| row.state.status != WaveStatus::Closed)
    }

    /// A wave by number.
    pub fn wave(&self, wave: u16) -> Option<&WaveRow> {
        self.waves.iter().find(|row| row.wave == wave)
    }

    fn has_stops(&self) -> bool {
        self.facts.killing || !self.stops.is_empty()
    }
}
