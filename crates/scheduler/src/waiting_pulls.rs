//! Pulls that wait in this scheduler. An admission leases its batches to them with its own commit,
//! which saves a transaction, a notification and a wake-up.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::ids::WorkerId;
use tokio::sync::oneshot;

use crate::leased::Pulled;

/// The waiting pulls of all workers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitingPulls {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Waiting pulls of each worker, the oldest first. No queue is empty.
    by_worker: HashMap<WorkerId, VecDeque<Entry>>,
    /// Number of the newest entry.
    newest: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    room: u32,
    answer: oneshot::Sender<Pulled>,
}

/// A pull while it waits. Dropped, it no longer waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pulls: WaitingPulls,
    worker_id: WorkerId,
    number: u64,
    /// `None` after the answer.
    answer: Option<oneshot::Receiver<Pulled>>,
}

/// A waiting pull that an admission has claimed. Dropped without an answer, it makes the pull read
/// the batches again.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) worker_id: WorkerId,
    /// Maximum number of targets that the worker takes.
    pub(crate) room: u32,
    answer: oneshot::Sender<Pulled>,
}

impl WaitingPulls {
    /// Registers a pull of a worker with room for this many targets.
    pub(crate) fn wait(&self, worker_id: &WorkerId, room: u32) -> Waiting {
        let (answer, receiver) = oneshot::channel();
        let mut inner = self.lock();
        inner.newest += 1;
        let number = inner.newest;
        inner.by_worker.entry(worker_id.clone()).or_default().push_back(Entry { number, room, answer });
        Waiting { pulls: self.clone(), worker_id: worker_id.clone(), number, answer: Some(receiver) }
    }

    /// Claims one waiting pull of each of these workers; none if a worker has none, or too little
    /// room for its targets.
    pub(crate) fn claim(&self, targets_by_worker: &HashMap<&WorkerId, u32>) -> Vec<Claim> {
        let mut inner = self.lock();
        let has_room = |(worker_id, targets): (&&WorkerId, &u32)| {
            let oldest = inner.by_worker.get(*worker_id).and_then(VecDeque::front);
            oldest.is_some_and(|entry| entry.room >= *targets)
        };
        if !targets_by_worker.iter().all(has_room) {
            return Vec::new();
        }
        targets_by_worker.keys().filter_map(|worker_id| inner.remove_oldest(worker_id)).collect()
    }

    pub(crate) fn number(&self) -> usize {
        self.lock().by_worker.values().map(VecDeque::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove_oldest(&mut self, worker_id: &WorkerId) -> Option<Claim> {
        let queue = self.by_worker.get_mut(worker_id)?;
        let Entry { room, answer, .. } = queue.pop_front()?;
        if queue.is_empty() {
            self.by_worker.remove(worker_id);
        }
        Some(Claim { worker_id: worker_id.clone(), room, answer })
    }

    /// Removes an entry. Returns false if an admission has claimed it.
    fn remove(&mut self, worker_id: &WorkerId, number: u64) -> bool {
        let Some(queue) = self.by_worker.get_mut(worker_id) else { return false };
        let before = queue.len();
        queue.retain(|entry| entry.number != number);
        let is_removed = queue.len() < before;
        if queue.is_empty() {
            self.by_worker.remove(worker_id);
        }
        is_removed
    }
}

impl Waiting {
    /// Waits until an admission that claimed the pull answers or gives up. Never ends while none
    /// claims it.
    pub(crate) async fn answered(&mut self) -> Option<Pulled> {
        let pulled = self.answer.as_mut()?.await.ok();
        self.answer = None;
        pulled
    }

    /// Ends the wait. Returns the batches of an admission that has claimed the pull meanwhile.
    pub(crate) async fn end(mut self) -> Option<Pulled> {
        let is_unclaimed = self.pulls.lock().remove(&self.worker_id, self.number);
        if is_unclaimed { None } else { self.answered().await }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pulls.lock().remove(&self.worker_id, self.number);
    }
}

impl Claim {
    /// Answers the pull. A pull that ended meanwhile loses its leases when they run out, as after a
    /// lost response.
    pub(crate) fn answer(self, pulled: Pulled) {
        if self.answer.send(pulled).is_err() {
            tracing::debug!(worker_id = %self.worker_id, "the pull ended before its batches were leased");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn claimed_pull_gets_the_batches_even_at_its_end() {
        let pulls = WaitingPulls::default();
        let one = worker("one");
        let waiting = pulls.wait(&one, 10);
        let claims = pulls.claim(&HashMap::from([(&one, 10)]));
        assert_eq!(claims.iter().map(|claim| claim.room).collect::<Vec<_>>(), [10]);
        assert!(pulls.claim(&HashMap::from([(&one, 1)])).is_empty(), "claimed once");
        let answer = Pulled { waits_for_room: true, ..Pulled::default() };
        claims.into_iter().for_each(|claim| claim.answer(answer.clone()));
        assert!(waiting.end().await.is_some_and(|pulled| pulled.waits_for_room));
    }

    #[tokio::test]
    async fn pull_that_nothing_claims_ends_without_batches() {
        let pulls = WaitingPulls::default();
        let one = worker("one");
        assert!(pulls.wait(&one, 10).end().await.is_none());
        drop(pulls.wait(&one, 10));
        assert!(pulls.claim(&HashMap::from([(&one, 1)])).is_empty());
        assert_eq!(pulls.number(), 0);
    }

    #[tokio::test]
    async fn admission_that_gives_up_wakes_the_pull() {
        let pulls = WaitingPulls::default();
        let one = worker("one");
        let mut waiting = pulls.wait(&one, 10);
        drop(pulls.claim(&HashMap::from([(&one, 1)])));
        assert!(waiting.answered().await.is_none());
        assert!(waiting.end().await.is_none());
    }

    #[test]
    fn admission_claims_the_pulls_of_all_workers_or_none() {
        let pulls = WaitingPulls::default();
        let (one, two) = (worker("one"), worker("two"));
        let _first = pulls.wait(&one, 10);
        assert!(pulls.claim(&HashMap::from([(&one, 1), (&two, 1)])).is_empty());
        assert!(pulls.claim(&HashMap::from([(&one, 11)])).is_empty(), "too little room");
        let _second = pulls.wait(&two, 10);
        assert_eq!(pulls.claim(&HashMap::from([(&one, 1), (&two, 1)])).len(), 2);
    }
}
