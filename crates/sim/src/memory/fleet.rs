//! Workers and the desktops that they hold. Schedulers change these rows without the engine.

use domain::{
    Timestamp,
    ids::{DesktopId, ProjectId, WorkerId},
};
use engine::{Wake, row::Presence};

use super::{MemoryStore, store::Worker};

impl MemoryStore {
    /// Stores a desktop, or its new connection.
    pub fn put_desktop(&mut self, project_id: &ProjectId, desktop_id: &DesktopId, presence: Presence) {
        self.desktops.entry(project_id.clone()).or_default().insert(desktop_id.clone(), presence);
        self.join_presence(project_id, desktop_id);
    }

    /// Stores a heartbeat; true when the worker was not known.
    pub fn record_heartbeat(&mut self, worker_id: &WorkerId, is_draining: bool, now: Timestamp) -> bool {
        let known = self.workers.insert(worker_id.clone(), Worker { last_heartbeat_at: now, is_draining });
        if known.is_none_or(|known| known.is_draining != is_draining) {
            self.join_worker(worker_id);
        }
        known.is_none()
    }

    /// Workers that were last heard of before a moment.
    pub fn silent_since(&self, moment: Timestamp) -> Vec<WorkerId> {
        let silent = self.workers.iter().filter(|(_, worker)| worker.last_heartbeat_at < moment);
        silent.map(|(worker_id, _)| worker_id.clone()).collect()
    }

    /// Stores that a desktop's agent is connected to a worker; false when the worker is not known. A desktop that moves from
    /// one worker to another was online all the time.
    pub fn connected(
        &mut self,
        worker_id: &WorkerId,
        (project_id, desktop_id): (&ProjectId, &DesktopId),
        agent_id: &str,
        now: Timestamp,
    ) -> bool {
        let Some(worker) = self.workers.get(worker_id) else { return false };
        let is_draining = worker.is_draining;
        let before = self.presence(project_id, desktop_id);
        let online_since = before.filter(|it| it.worker_id.is_some()).map(|it| it.changed_at);
        let presence = Presence {
            worker_id: Some(worker_id.clone()),
            is_draining,
            time_zone: before.map(|it| it.time_zone.clone()).unwrap_or_default(),
            agent_id: agent_id.to_owned(),
            changed_at: online_since.unwrap_or(now),
        };
        self.put_desktop(project_id, desktop_id, presence);
        self.wakes.insert(Wake::Presence);
        true
    }

    /// Stores that a worker lost a desktop, unless another worker holds it; false when the worker is not known.
    pub fn disconnected(
        &mut self,
        worker_id: &WorkerId,
        (project_id, desktop_id): (&ProjectId, &DesktopId),
        now: Timestamp,
    ) -> bool {
        if !self.workers.contains_key(worker_id) {
            return false;
        }
        let desktop = self.desktops.get_mut(project_id).and_then(|all| all.get_mut(desktop_id));
        if let Some(presence) = desktop.filter(|presence| presence.worker_id.as_ref() == Some(worker_id)) {
            (presence.worker_id, presence.changed_at) = (None, now);
            self.join_presence(project_id, desktop_id);
        }
        true
    }

    /// Whether a worker is known.
    pub fn knows(&self, worker_id: &WorkerId) -> bool {
        self.workers.contains_key(worker_id)
    }

    /// Forgets a worker with all that it suspended, if it was last heard of before `last_heartbeat_before`; `None` in any case. Its leases
    /// end at the beginning of time. If it died, its targets may have been the cause.
    pub fn forget_worker(
        &mut self,
        worker_id: &WorkerId,
        last_heartbeat_before: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let Some(worker) = self.workers.get(worker_id) else { return false };
        if last_heartbeat_before.is_some_and(|moment| worker.last_heartbeat_at >= moment) {
            return false;
        }
        self.workers.remove(worker_id);
        for desktop in self.desktops.values_mut().flat_map(|all| all.values_mut()) {
            if desktop.worker_id.as_ref() == Some(worker_id) {
                (desktop.worker_id, desktop.changed_at) = (None, now);
            }
        }
        for batch in self.tasks.values_mut().flat_map(|table| table.batches.values_mut()) {
            let is_suspended = batch.row.worker_id == *worker_id;
            if let Some(until) =
                batch.row.lease_until.as_mut().filter(|until| is_suspended && **until > Timestamp::UNIX_EPOCH)
            {
                *until = Timestamp::UNIX_EPOCH;
                batch.row.terms.worker_deaths += u16::from(last_heartbeat_before.is_some());
            }
        }
        self.join_worker(worker_id);
        self.wakes.insert(Wake::Presence);
        true
    }

    /// Copies what is known of a worker into the rows that are read with it.
    fn join_worker(&mut self, worker_id: &WorkerId) {
        let takes_work = self.takes_work(worker_id);
        for batch in self.tasks.values_mut().flat_map(|table| table.batches.values_mut()) {
            if batch.row.worker_id == *worker_id {
                batch.row.has_holder = takes_work;
            }
        }
        let desktops = self.desktops.values_mut().flat_map(|all| all.values_mut());
        for desktop in desktops.filter(|desktop| desktop.worker_id.as_ref() == Some(worker_id)) {
            desktop.is_draining = !takes_work;
        }
        for table in self.tasks.values_mut() {
            let Some(desktops) = self.desktops.get(&table.facts.project_id) else { continue };
            for row in table.deferred.values_mut() {
                row.presence = desktops.get(&row.member.desktop_id).cloned();
            }
        }
    }

    /// Copies the presence of a desktop into the deferred targets that are read with it.
    fn join_presence(&mut self, project_id: &ProjectId, desktop_id: &DesktopId) {
        let Self { tasks, desktops, .. } = self;
        let presence = desktops.get(project_id).and_then(|all| all.get(desktop_id));
        for table in tasks.values_mut().filter(|table| table.facts.project_id == *project_id) {
            let ordinal = table.ordinals.get(desktop_id);
            if let Some(row) = ordinal.and_then(|ordinal| table.deferred.get_mut(ordinal)) {
                row.presence = presence.cloned();
            }
        }
    }
}
