//! Changes: transactions that claimed the idempotency key of their request.

use std::ops::{Deref, DerefMut};

use store::Tx;

/// Transaction of a change by a caller. `Control::begin_change` creates it, and claims the caller's
/// idempotency key in it, if the request has one.
#[derive(Debug)]
pub(crate) struct Change(Tx);

impl Change {
    /// Creates a change from a transaction that claimed the key of its request. A request without a
    /// key and a database command have none.
    pub(crate) const fn new(tx: Tx) -> Self {
        Self(tx)
    }

    /// Returns the transaction.
    pub(crate) fn into_tx(self) -> Tx {
        self.0
    }
}

impl Deref for Change {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.0
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.0
    }
}

/// The begin of a change.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The request is new.
    New(Change),
    /// The request was executed before, with this answer.
    Repeated(String),
}
