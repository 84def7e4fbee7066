//! Deletion of expired rows.

use domain::Error;
use store::{credential, idempotency, session, sign_in_code};

use crate::Control;

impl Control {
    /// Deletes expired request signatures, idempotency keys, sessions and sign-in codes. One
    /// statement deletes a bounded number of rows.
    pub async fn forget_expired(&self) -> Result<(), Error> {
        let now = self.environment.now();
        let mut connection = self.store.acquire().await?;
        while credential::forget_signatures(&mut connection, now).await? {}
        while idempotency::forget(&mut connection, now).await? {}
        while session::forget(&mut connection, now, now - self.session_terms.idle).await? {}
        while sign_in_code::forget(&mut connection, now).await? {}
        Ok(())
    }
}
