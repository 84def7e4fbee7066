//! Targets in flight: leased targets until their results are stored.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::{
    agent::ExecutionKey,
    scheduler::{DesktopKey, Lease, ReturnedTarget},
};
use tokio::sync::Notify;

use crate::registry::SessionId;

/// Target in flight.
#[derive(Debug, Clone)]
pub(crate) struct InFlightTarget {
    pub(crate) batch_id: String,
    pub(crate) desktop: DesktopKey,
    /// Connection that delivered the order.
    pub(crate) session: SessionId,
}

#[derive(Debug)]
struct Batch {
    task_id: String,
    epoch: u32,
    held: u32,
}

#[derive(Debug, Default)]
struct Inner {
    targets: HashMap<ExecutionKey, InFlightTarget>,
    /// Keys of the targets by connection, so that the end of one connection costs only its own.
    by_session: HashMap<SessionId, HashSet<ExecutionKey>>,
    batches: HashMap<String, Batch>,
}

/// Targets in flight and leases. Every release notifies `changed`.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    inner: Mutex<Inner>,
    pub(crate) changed: Notify,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of targets in flight.
    pub(crate) fn len(&self) -> usize {
        self.lock().targets.len()
    }

    /// Number of places, out of `capacity`, that targets occupy: those with a lease. A target whose
    /// lease is lost may never have a result, for instance because its agent does not answer. After
    /// an outage all of them may still run, so they are bounded too: together with the leased ones,
    /// at most twice the capacity.
    pub(crate) fn places(&self, capacity: u32) -> u32 {
        let inner = self.lock();
        let leased = inner.batches.values().map(|batch| batch.held).sum::<u32>();
        let all = u32::try_from(inner.targets.len()).unwrap_or(u32::MAX);
        leased.max(all.saturating_sub(capacity))
    }

    /// Adds a leased batch before its targets are dispatched.
    pub(crate) fn open(&self, lease: Lease) {
        self.lock()
            .batches
            .insert(lease.batch_id, Batch { task_id: lease.task_id, epoch: lease.epoch, held: 0 });
    }

    /// Moves a target in flight to the batch that was leased for it last: its result settles that
    /// batch, whose lease is renewed until then. False if the target is not in flight, and needs an
    /// order.
    pub(crate) fn adopt(&self, key: &ExecutionKey, batch_id: &str) -> bool {
        let mut inner = self.lock();
        let Some(target) = inner.targets.get_mut(key) else { return false };
        let earlier = std::mem::replace(&mut target.batch_id, batch_id.to_owned());
        if earlier != batch_id {
            inner.hold(batch_id);
            inner.release(&earlier);
        }
        true
    }

    /// Records a target just before its order is sent. The target must not be in flight.
    pub(crate) fn hold(&self, key: ExecutionKey, held: InFlightTarget) {
        let mut inner = self.lock();
        inner.hold(&held.batch_id);
        inner.by_session.entry(held.session).or_default().insert(key.clone());
        inner.targets.insert(key, held);
    }

    /// Batch that delivered a target to a desktop; `None` if it is not in flight there.
    pub(crate) fn batch_of(&self, key: &ExecutionKey, desktop: &DesktopKey) -> Option<String> {
        let inner = self.lock();
        inner.targets.get(key).filter(|held| held.desktop == *desktop).map(|held| held.batch_id.clone())
    }

    /// Batch that delivered a target on this connection; `None` if it is not in flight there.
    pub(crate) fn batch_on(&self, key: &ExecutionKey, session: SessionId) -> Option<String> {
        let inner = self.lock();
        inner.targets.get(key).filter(|held| held.session == session).map(|held| held.batch_id.clone())
    }

    /// Desktop and connection to which a target was dispatched; `None` if it is not in flight.
    pub(crate) fn handed_out_on(&self, key: &ExecutionKey) -> Option<(DesktopKey, SessionId)> {
        self.lock().targets.get(key).map(|held| (held.desktop.clone(), held.session))
    }

    /// Removes targets whose orders were not sent.
    pub(crate) fn release<'a>(&self, keys: impl IntoIterator<Item = &'a ExecutionKey>) {
        let mut inner = self.lock();
        for key in keys {
            inner.remove(key);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Removes targets whose results are settled. A result that a desktop reports for the target of
    /// another one removes nothing: that target still runs, and its lease is renewed.
    pub(crate) fn settle<'a>(&self, results: impl IntoIterator<Item = (&'a ExecutionKey, &'a DesktopKey)>) {
        let mut inner = self.lock();
        for (key, desktop) in results {
            if inner.targets.get(key).is_some_and(|held| held.desktop == *desktop) {
                inner.remove(key);
            }
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Removes a batch without targets in flight.
    pub(crate) fn close_if_empty(&self, batch_id: &str) {
        let mut inner = self.lock();
        if inner.batches.get(batch_id).is_some_and(|batch| batch.held == 0) {
            inner.batches.remove(batch_id);
        }
    }

    /// Removes all targets of a closed connection and returns them for the report: their agent may
    /// have started them, but its results no longer arrive here.
    pub(crate) fn release_session(&self, session: SessionId) -> Vec<ReturnedTarget> {
        let mut inner = self.lock();
        let keys = inner.by_session.remove(&session).unwrap_or_default();
        let mut returned = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(held) = inner.remove(&key) {
                returned.push(ReturnedTarget {
                    task_id: key.task_id,
                    batch_id: held.batch_id,
                    ordinal: key.ordinal,
                    desktop_id: held.desktop.desktop_id,
                    handed: true,
                    ..ReturnedTarget::default()
                });
            }
        }
        drop(inner);
        self.changed.notify_waiters();
        returned
    }

    /// Removes a target that its agent gives back, and returns it for the report. `None` if this
    /// connection did not deliver it.
    pub(crate) fn give_back(&self, key: &ExecutionKey, session: SessionId) -> Option<ReturnedTarget> {
        let mut inner = self.lock();
        if inner.targets.get(key).is_none_or(|held| held.session != session) {
            return None;
        }
        let held = inner.remove(key)?;
        drop(inner);
        self.changed.notify_waiters();
        Some(ReturnedTarget {
            task_id: key.task_id.clone(),
            batch_id: held.batch_id,
            ordinal: key.ordinal,
            desktop_id: held.desktop.desktop_id,
            given_back: true,
            ..ReturnedTarget::default()
        })
    }

    /// Number of targets in flight on each of these connections.
    pub(crate) fn count_by_session(&self, sessions: &HashSet<SessionId>) -> HashMap<SessionId, usize> {
        let inner = self.lock();
        let count = |session: &SessionId| inner.by_session.get(session).map_or(0, HashSet::len);
        sessions.iter().map(|session| (*session, count(session))).collect()
    }

    /// Connections with leased targets in flight.
    pub(crate) fn busy_sessions(&self) -> HashSet<SessionId> {
        let inner = self.lock();
        let leased = inner.targets.values().filter(|held| inner.batches.contains_key(&held.batch_id));
        leased.map(|held| held.session).collect()
    }

    /// All leases with targets in flight.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        let inner = self.lock();
        inner
            .batches
            .iter()
            .map(|(batch_id, batch)| Lease {
                task_id: batch.task_id.clone(),
                batch_id: batch_id.clone(),
                epoch: batch.epoch,
            })
            .collect()
    }

    /// Removes leases that the worker has lost. Their targets still run here and their late results
    /// are reported.
    pub(crate) fn lose(&self, lost: &[Lease]) {
        let mut inner = self.lock();
        for lease in lost {
            if inner.batches.get(&lease.batch_id).is_some_and(|batch| batch.epoch == lease.epoch) {
                inner.batches.remove(&lease.batch_id);
            }
        }
        drop(inner);
        self.changed.notify_waiters();
    }
}

impl Inner {
    fn hold(&mut self, batch_id: &str) {
        if let Some(batch) = self.batches.get_mut(batch_id) {
            batch.held += 1;
        }
    }

    fn remove(&mut self, key: &ExecutionKey) -> Option<InFlightTarget> {
        let held = self.targets.remove(key)?;
        if let Some(keys) = self.by_session.get_mut(&held.session) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_session.remove(&held.session);
            }
        }
        self.release(&held.batch_id);
        Some(held)
    }

    fn release(&mut self, batch_id: &str) {
        if let Some(batch) = self.batches.get_mut(batch_id) {
            batch.held = batch.held.saturating_sub(1);
            if batch.held == 0 {
                self.batches.remove(batch_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ordinal: u32) -> ExecutionKey {
        ExecutionKey { task_id: "t".into(), ordinal, attempt: 1 }
    }

    fn held(session: u64) -> InFlightTarget {
        let desktop = DesktopKey { project_id: "p".into(), desktop_id: "d".into() };
        InFlightTarget { batch_id: "b".into(), desktop, session: SessionId(session) }
    }

    fn lease(epoch: u32) -> Lease {
        Lease { task_id: "t".into(), batch_id: "b".into(), epoch }
    }

    #[test]
    fn a_batch_is_renewed_until_its_last_target_is_let_go() {
        let in_flight = InFlight::default();
        in_flight.open(lease(1));
        in_flight.hold(key(0), held(1));
        in_flight.hold(key(1), held(2));
        assert!(in_flight.adopt(&key(1), "b") && !in_flight.adopt(&key(2), "b"));
        in_flight.release([&key(0)]);
        assert_eq!(in_flight.leases(), [lease(1)]);
        in_flight.release([&key(1)]);
        assert!(in_flight.leases().is_empty());
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn a_lost_connection_gives_back_what_was_handed_out_on_it_alone() {
        let in_flight = InFlight::default();
        in_flight.open(lease(1));
        in_flight.hold(key(0), held(1));
        in_flight.hold(key(1), held(2));
        let returned = in_flight.release_session(SessionId(1));
        assert_eq!(returned.len(), 1);
        assert!(returned[0].ordinal == 0 && returned[0].handed);
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn lost_lease_is_not_renewed_but_a_newer_one_is() {
        let in_flight = InFlight::default();
        in_flight.open(lease(2));
        in_flight.lose(&[lease(1)]);
        assert_eq!(in_flight.leases().len(), 1);
        in_flight.lose(&[lease(2)]);
        assert!(in_flight.leases().is_empty());
    }

    #[test]
    fn target_without_a_lease_occupies_no_place() {
        let in_flight = InFlight::default();
        in_flight.open(lease(1));
        in_flight.hold(key(0), held(1));
        in_flight.hold(key(1), held(2));
        assert_eq!((in_flight.places(10), in_flight.busy_sessions().len()), (2, 2));
        in_flight.lose(&[lease(1)]);
        assert_eq!((in_flight.places(10), in_flight.busy_sessions().len()), (0, 0));
        assert_eq!(in_flight.places(1), 1, "at most twice the capacity");
        assert_eq!(in_flight.len(), 2, "their late results are still reported");
        // The scheduler leases one of them again.
        in_flight.open(Lease { batch_id: "c".into(), ..lease(1) });
        assert!(in_flight.adopt(&key(0), "c"));
        assert_eq!((in_flight.places(10), in_flight.busy_sessions().len()), (1, 1));
    }

    #[test]
    fn only_the_connection_of_a_target_gives_it_back() {
        let in_flight = InFlight::default();
        in_flight.open(lease(1));
        in_flight.hold(key(0), held(1));
        assert_eq!(in_flight.give_back(&key(0), SessionId(2)), None);
        let returned = in_flight.give_back(&key(0), SessionId(1)).unwrap();
        assert!(returned.given_back && !returned.handed);
        assert!(in_flight.leases().is_empty());
        assert_eq!(in_flight.give_back(&key(0), SessionId(1)), None);
    }
}
