//! Deletion of expired rows.

use domain::Error;
use store::{credential, idempotency};

use crate::Control;

impl Control {
    /// Deletes expired request signatures and idempotency keys. One call deletes a bounded number
    /// of rows.
    pub async fn forget_expired(&self) -> Result<(), Error> {
        let now = self.environment.now();
        let mut connection = self.store.acquire().await?;
        while credential::forget_signatures(&mut connection, now).await? {}
        while idempotency::forget(&mut connection, now).await? {}
        Ok(())
    }
}
