//! Idempotency keys: claimed, with the result, in the transaction of the change.

use domain::{Timestamp, ids::ProjectId};

use crate::{Connection, Error};

/// An idempotency key as its caller sends it.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Project of the caller.
    pub project_id: &'a ProjectId,
    /// Principal of the caller. Other principals may use the same text.
    pub principal: &'a str,
    /// Text of the key.
    pub text: &'a str,
}

/// Result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key is new, and belongs to this caller once the transaction commits.
    Fresh,
    /// The key was used before.
    Used {
        /// SHA-256 of the request that used the key.
        request_sha256: Vec<u8>,
        /// Answer to that request.
        result: String,
    },
}

/// Claims a key. Waits for a concurrent transaction that uses the same key.
pub async fn claim(
    connection: &mut Connection,
    key: Key<'_>,
    request_sha256: &[u8; 32],
    expires_at: Timestamp,
) -> Result<Claim, Error> {
    let done = sqlx::query!(
        "INSERT INTO idempotency (project_id, principal, idempotency_key, request_sha256, result, expires_at)
         VALUES ($1, $2, $3, $4, '', $5) ON CONFLICT DO NOTHING",
        key.project_id.as_str(),
        key.principal,
        key.text,
        &request_sha256[..],
        expires_at,
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Claim::Fresh);
    }
    let row = sqlx::query!(
        "SELECT request_sha256, result FROM idempotency
         WHERE project_id = $1 AND principal = $2 AND idempotency_key = $3",
        key.project_id.as_str(),
        key.principal,
        key.text,
    )
    .fetch_one(connection)
    .await?;
    Ok(Claim::Used { request_sha256: row.request_sha256, result: row.result })
}

/// Stores the answer to the request that claimed a key.
pub async fn finish(connection: &mut Connection, key: Key<'_>, result: &str) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE idempotency SET result = $4 WHERE project_id = $1 AND principal = $2 AND idempotency_key = $3",
        key.project_id.as_str(),
        key.principal,
        key.text,
        result,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a bounded number of expired keys. Returns true if more may remain.
pub async fn forget(connection: &mut Connection, now: Timestamp) -> Result<bool, Error> {
    const AT_ONCE: i64 = 10_000;
    let done = sqlx::query!(
        "DELETE FROM idempotency WHERE (project_id, principal, idempotency_key) IN (
             SELECT project_id, principal, idempotency_key FROM idempotency WHERE expires_at < $1 LIMIT $2)",
        now,
        AT_ONCE,
    )
    .execute(connection)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX) >= AT_ONCE)
}
