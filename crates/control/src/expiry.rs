//! What has to be forgotten in time.

use domain::Error;
use store::{credential, idempotency};

use crate::Control;

impl Control {
    /// Forgets used signatures and idempotency keys whose time is over. Does a bounded amount at once.
    pub async fn forget_expired(&self) -> Result<(), Error> {
        let now = self.environment.now();
        let mut connection = self.store.acquire().await?;
        while credential::forget_signatures(&mut connection, now).await? {}
        while idempotency::forget(&mut connection, now).await? {}
        Ok(())
    }
}
