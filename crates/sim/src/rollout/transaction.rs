//! Transactions: the engine decides on rows in memory, its changes are applied, and the promises are told what they did.

use std::convert::Infallible;

use engine::{Decision, Rows as _};
use futures::FutureExt as _;

use super::{effect::Effect, observe::observe, world::World};

/// The result of an operation on rows in memory, which waits for nothing.
pub(super) fn at_once<T>(operation: impl Future<Output = Result<T, Infallible>>) -> T {
    let Some(Ok(value)) = operation.now_or_never() else {
        unreachable!("an operation on rows in memory is ready at once")
    };
    value
}

impl World {
    /// Applies a decision. Returns whether there was one.
    pub(super) fn commit(&mut self, decision: Option<Decision>) -> bool {
        let Some(Decision { changes, effects }) = decision else { return false };
        if let Some(table) = self.store.task(changes.task_id) {
            self.effects.append(&mut observe(table, &changes));
        }
        self.effects.extend(effects.into_iter().map(Effect::Engine));
        at_once(self.store.apply(&changes));
        true
    }
}
