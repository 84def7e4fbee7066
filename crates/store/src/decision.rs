//! A decision of the rollout engine in a separate transaction.

use engine::{Decision, Rows as _};

use crate::{Error, Store, TaskRows, Tx, effect};

impl Store {
    /// Applies a decision, commits its transaction, and reports its effects.
    pub async fn commit_decision(&self, mut tx: Tx, decision: &Decision) -> Result<(), Error> {
        TaskRows::new(&mut tx).apply(&decision.changes).await?;
        self.commit(tx).await?;
        effect::report(decision);
        Ok(())
    }
}
