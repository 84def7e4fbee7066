//! Rotation of the master key: encrypts stored secret keys with the first one.

use domain::Error;
use store::credential::{self, SealedKey};

use super::outsider::Outsider;
use crate::Control;

/// Number of access keys that are read at once.
const KEYS_AT_ONCE: i64 = 500;

/// Result of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Number of access keys whose secret is now encrypted with the first master key.
    pub rewrapped: usize,
    /// Access keys whose secret cannot be decrypted with the configured master keys.
    pub unreadable: Vec<String>,
}

impl Control {
    /// Encrypts the secret of every valid access key with the first master key, as far as the
    /// configured master keys can decrypt it. Secrets that the first master key encrypts already
    /// stay unchanged, so the command may be repeated after an interruption.
    pub async fn rewrap_keys(&self) -> Result<Rewrapped, Error> {
        let first_id = self.access.master_keys.first_id()?;
        let (mut result, mut after) = (Rewrapped::default(), String::new());
        loop {
            let mut connection = self.store.acquire().await?;
            let now = self.environment.now();
            let keys =
                credential::keys_of_other_masters(&mut connection, &first_id, &after, now, KEYS_AT_ONCE)
                    .await?;
            drop(connection);
            let Some(last) = keys.last() else { return Ok(result) };
            after.clone_from(&last.access_key);
            for key in keys {
                match self.access.master_keys.open(&key.access_key, &key.sealed) {
                    Ok(secret_key) => {
                        result.rewrapped += usize::from(self.rewrap(&key, &secret_key).await?);
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(access_key = key.access_key, error, "secret key not decrypted");
                        result.unreadable.push(key.access_key);
                    }
                }
            }
        }
    }

    /// Returns false if another command was faster.
    async fn rewrap(&self, key: &SealedKey, secret_key: &str) -> Result<bool, Error> {
        let SealedKey { access_key, project_id, sealed } = key;
        let new = self.access.master_keys.seal(access_key, secret_key)?;
        let mut tx = self.store.begin().await?;
        if !credential::replace_secret(&mut tx, access_key, &sealed.master_key_id, &new).await? {
            return Ok(false);
        }
        let resource = format!("key:{access_key}");
        self.done_outside(tx, Outsider::Database, project_id, "graywave:keys:rewrap", &resource).await?;
        Ok(true)
    }
}
