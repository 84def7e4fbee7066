//! The migrations of this program.

use sha2::{Digest as _, Sha256};
use sqlx::migrate::Migrator;

/// Returns the migrations of this program.
pub(crate) fn migrator() -> Migrator {
    sqlx::migrate!("../../migrations")
}

/// Returns a digest of all migrations in hexadecimal, which names the schema of this program.
pub fn schema_digest() -> String {
    let mut digest = Sha256::new();
    for migration in migrator().iter() {
        digest.update(&migration.checksum);
    }
    hex::encode(digest.finalize())
}
