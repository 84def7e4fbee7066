//! Queue of accepted orders.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::limits::MAX_ORDERS_PER_AGENT;
use tokio::sync::Notify;

use super::state::Accepted;

/// Bounded queue that can remove any order: a stopped order may have hours of other orders before
/// it. It is not part of `Shared`: the orders would keep it, and each other, alive forever.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Accepted>>,
    arrived: Notify,
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

    /// Removes the first order that matches.
    pub(super) fn take(&self, wanted: impl Fn(&Accepted) -> bool) -> Option<Accepted> {
        let mut waiting = self.waiting();
        let place = waiting.iter().position(wanted)?;
        waiting.remove(place)
    }
}
