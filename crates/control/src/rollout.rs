//! The operations of crate `engine`, in the transactions of the use cases.

use engine::{Decision, Engine, Rows as _};
use store::{Error, TaskRows, Tx, effect};

/// The engine without deliberate faults.
pub(crate) const ENGINE: Engine = Engine::new();

/// Applies decisions in their transaction.
pub(crate) async fn apply<'a>(
    tx: &mut Tx,
    decisions: impl IntoIterator<Item = &'a Decision>,
) -> Result<(), Error> {
    let mut rows = TaskRows::new(tx);
    for decision in decisions {
        rows.apply(&decision.changes).await?;
    }
    Ok(())
}

/// Reports the effects of decisions after their commit.
pub(crate) fn report<'a>(decisions: impl IntoIterator<Item = &'a Decision>) {
    decisions.into_iter().for_each(effect::report);
}
