//! Codes with which a browser or a command line signs in once.

use domain::{Timestamp, ids::ProjectId};

use crate::{Connection, Error, codec::text_id};

/// Terms of the token that a command line gets for its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTerms {
    /// SHA-256 of the secret that the command line presents with the code.
    pub challenge_sha256: [u8; 32],
    /// End of the token.
    pub expires_at: Timestamp,
}

/// A principal that may sign in once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeHolder {
    /// Project of the principal.
    pub project_id: ProjectId,
    /// Its name.
    pub principal: String,
}

/// Stores a code for a principal until `expires_at`. Without `token` it is for a browser.
pub async fn insert(
    connection: &mut Connection,
    sha256: &[u8; 32],
    holder: &CodeHolder,
    token: Option<TokenTerms>,
    expires_at: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO sign_in_code (sha256, project_id, principal, challenge_sha256, token_expires_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &sha256[..],
        holder.project_id.as_str(),
        holder.principal,
        token.as_ref().map(|token| &token.challenge_sha256[..]),
        token.map(|token| token.expires_at),
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a code of a browser and returns its principal. `None` if the code is unknown, used or
/// expired, or is one of a command line.
pub async fn take(
    connection: &mut Connection,
    sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Option<CodeHolder>, Error> {
    let row = sqlx::query!(
        "DELETE FROM sign_in_code WHERE sha256 = $1 AND challenge_sha256 IS NULL AND expires_at > $2
         RETURNING project_id, principal",
        &sha256[..],
        now,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(CodeHolder { project_id: text_id("sign_in_code", row.project_id)?, principal: row.principal })
    })
    .transpose()
}

/// Deletes a code of a command line and returns its principal and the end of its token. `None` if
/// the code is unknown, used or expired, or belongs to another challenge.
pub async fn take_for_token(
    connection: &mut Connection,
    sha256: &[u8; 32],
    challenge_sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Option<(CodeHolder, Timestamp)>, Error> {
    let row = sqlx::query!(
        r#"DELETE FROM sign_in_code WHERE sha256 = $1 AND challenge_sha256 = $2 AND expires_at > $3
           RETURNING project_id, principal, token_expires_at AS "token_expires_at!""#,
        &sha256[..],
        &challenge_sha256[..],
        now,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let project_id = text_id("sign_in_code", row.project_id)?;
        Ok((CodeHolder { project_id, principal: row.principal }, row.token_expires_at))
    })
    .transpose()
}

/// Deletes a bounded number of expired codes. Returns true if more may remain.
pub async fn forget(connection: &mut Connection, now: Timestamp) -> Result<bool, Error> {
    const AT_ONCE: i64 = 1_000;
    let done = sqlx::query!(
        "DELETE FROM sign_in_code WHERE sha256 IN (
             SELECT sha256 FROM sign_in_code WHERE expires_at <= $1 LIMIT $2)",
        now,
        AT_ONCE,
    )
    .execute(connection)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX) >= AT_ONCE)
}
