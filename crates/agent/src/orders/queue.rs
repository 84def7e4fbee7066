//! Queue of accepted orders.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
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
    arrived: Notify,
    /// Notifies the wait for the next deadline.
    deadline_changed: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an order; returns it if the queue is full.
    pub(super) fn push(&self, order: Accepted) -> Result<(), Box<Accepted>> {
        let mut waiting = self.waiting();
        if waiting.len() >= MAX_ORDERS_PER_AGENT {
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
            let next = self.waiting().pop_front_if(|order| fits(order));
            match next {
                Some(order) => return order,
                None => self.arrived.notified().await,
            }
        }
    }

    /// Waits until the deadline of a queued order passes, by the time of `now_ms`, and removes all
    /// orders: the control plane keeps their sequence and sends them again. Cancel-safe.
    pub(super) async fn overdue(&self, now_ms: impl Fn() -> i64) -> Vec<Accepted> {
        loop {
            let first = self.waiting().iter().filter_map(Accepted::deadline_ms).min();
            let now = now_ms();
            let pause = match first {
                Some(first) if first < now => return self.waiting().drain(..).collect(),
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

    /// Removes the first order that matches.
    pub(super) fn take(&self, wanted: impl Fn(&Accepted) -> bool) -> Option<Accepted> {
        let mut waiting = self.waiting();
        let place = waiting.iter().position(wanted)?;
        waiting.remove(place)
    }
}
