//! Queue of accepted orders.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::limits::MAX_ORDERS_PER_AGENT;
use tokio::{sync::Notify, time::timeout};

use super::state::Accepted;

const LOOK_AT_TIME_EVERY: Duration = Duration::from_secs(60);

/// Bounded queue that can remove any order: a stopped order may have hours of other orders before
/// it. It is not part of `Shared`: the orders would keep it, and each other, alive forever.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Accepted>>,
    /// Whether nothing leaves the queue, and no new order enters it, because the desktop is about
    /// to go down. Read and written under the lock of `waiting`.
    is_closed: AtomicBool,
    arrived: Notify,
    /// Notifies the wait for the next deadline.
    deadline_changed: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an order; returns it if the queue is full, or closed for orders that have not begun.
    pub(super) fn push(&self, order: Accepted) -> Result<(), Box<Accepted>> {
        let mut waiting = self.waiting();
        let is_closed = self.is_closed.load(Ordering::Relaxed) && order.recovered.is_none();
        if waiting.len() >= MAX_ORDERS_PER_AGENT || is_closed {
            return Err(Box::new(order));
        }
        waiting.push_back(order);
        drop(waiting);
        self.arrived.notify_one();
        self.deadline_changed.notify_one();
        Ok(())
    }

    /// Waits for the next order, and until it fits. Cancel-safe; each call evaluates again whether
    /// an order fits.
    pub(super) async fn next(&self, fits: impl Fn(&Accepted) -> bool) -> Accepted {
        loop {
            let next = {
                let mut waiting = self.waiting();
                let is_closed = self.is_closed.load(Ordering::Relaxed);
                waiting.pop_front_if(|order| !is_closed && fits(order))
            };
            match next {
                Some(order) => return order,
                None => self.arrived.notified().await,
            }
        }
    }

    /// Waits until the deadline of a queued order passes, by the time of `now_ms`, and removes all
    /// orders that no agent has begun: the control plane keeps their sequence and sends them again.
    /// Begun orders stay, because an order that is given back has certainly not started.
    /// Cancel-safe.
    pub(super) async fn overdue(&self, now_ms: impl Fn() -> i64) -> Vec<Accepted> {
        loop {
            let is_new = |order: &&Accepted| order.recovered.is_none();
            let first = self.waiting().iter().filter(is_new).filter_map(Accepted::deadline_ms).min();
            let now = now_ms();
            let pause = match first {
                Some(first) if first < now => return Vec::from(remove_new(&mut self.waiting())),
                Some(first) => {
                    let ms = u64::try_from(first.saturating_sub(now)).unwrap_or_default();
                    // Waits in steps, because the clock may be adjusted.
                    Duration::from_millis(ms.saturating_add(1)).min(LOOK_AT_TIME_EVERY)
                }
                None => Duration::MAX,
            };
            let _changed = timeout(pause, self.deadline_changed.notified()).await;
        }
    }

    /// Closes the queue, and removes the orders that no agent has begun.
    pub(super) fn close(&self) -> Vec<Accepted> {
        let mut waiting = self.waiting();
        self.is_closed.store(true, Ordering::Relaxed);
        let others = remove_new(&mut waiting);
        drop(waiting);
        self.arrived.notify_one();
        Vec::from(others)
    }

    /// Returns when the queue is closed.
    #[cfg(all(test, unix))]
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.arrived.notified().await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Opens the queue.
    pub(super) fn open(&self) {
        let waiting = self.waiting();
        self.is_closed.store(false, Ordering::Relaxed);
        drop(waiting);
        self.arrived.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Removes the first order that matches.
    pub(super) fn take(&self, wanted: impl Fn(&Accepted) -> bool) -> Option<Accepted> {
        let mut waiting = self.waiting();
        let place = waiting.iter().position(wanted)?;
        waiting.remove(place)
    }
}

/// Removes the orders that no agent has begun.
fn remove_new(waiting: &mut VecDeque<Accepted>) -> VecDeque<Accepted> {
    let (begun, others) = waiting.drain(..).partition(|order| order.recovered.is_some());
    *waiting = begun;
    others
}
