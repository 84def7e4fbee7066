//! Orders that wait for their turn.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::limits::MAX_ORDERS_PER_AGENT;
use tokio::sync::Notify;

use super::state::Accepted;

/// A bounded queue from whose middle an order can be taken out: one that is stopped may wait behind hours of others.
/// It is not a part of what its orders share, or they would keep it, and each other, for ever.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Accepted>>,
    arrived: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the order back when the queue is full.
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

    /// Waits for the next order, and for it to fit. Loses none when it is dropped; whether an order fits is asked anew by
    /// the next call.
    pub(super) async fn next(&self, fits: impl Fn(&Accepted) -> bool) -> Accepted {
        loop {
            let next = self.waiting().pop_front_if(|order| fits(order));
            match next {
                Some(order) => return order,
                None => self.arrived.notified().await,
            }
        }
    }

    /// Takes the first order out of which this is true.
    pub(super) fn take(&self, wanted: impl Fn(&Accepted) -> bool) -> Option<Accepted> {
        let mut waiting = self.waiting();
        let place = waiting.iter().position(wanted)?;
        waiting.remove(place)
    }
}
