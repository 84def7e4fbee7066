//! Credentials: hashed tokens, encrypted keys, and used request signatures.

use domain::{Timestamp, authz::Policy, ids::ProjectId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Error, codec::text_id};

/// The principal of a credential, with its policies.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Project of the principal.
    pub project_id: ProjectId,
    /// Name of the principal.
    pub principal: String,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// Documents of its custom policies; ready-made ones are not stored.
    pub documents: Vec<Policy>,
}

struct RawHolder {
    project_id: String,
    principal: String,
    policies: Vec<String>,
    documents: Option<Vec<Json<Policy>>>,
}

impl TryFrom<RawHolder> for Holder {
    type Error = Error;

    fn try_from(raw: RawHolder) -> Result<Self, Error> {
        Ok(Self {
            project_id: text_id("principal", raw.project_id)?,
            principal: raw.principal,
            policies: raw.policies,
            documents: raw.documents.unwrap_or_default().into_iter().map(|document| document.0).collect(),
        })
    }
}

/// Converts the columns of a principal in a row with further columns.
macro_rules! holder {
    ($row:ident) => {
        Holder::try_from(RawHolder {
            project_id: $row.project_id,
            principal: $row.principal,
            policies: $row.policies,
            documents: $row.documents,
        })
    };
}

/// Returns the principal and the id of a token, by the token's hash. `None` if it is unknown,
/// expired or revoked.
pub async fn token_holder(
    connection: &mut Connection,
    sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Option<(Uuid, Holder)>, Error> {
    let row = sqlx::query!(
        r#"SELECT t.token_id, t.project_id, t.principal, p.policies,
                  ARRAY(SELECT document FROM policy o WHERE o.project_id = t.project_id AND o.policy = ANY(p.policies))
                      AS "documents: Vec<Json<Policy>>"
           FROM token t
           JOIN principal p USING (project_id, principal)
           JOIN project j USING (project_id)
           WHERE t.sha256 = $1 AND t.revoked_at IS NULL AND j.revoked_at IS NULL
             AND (t.expires_at IS NULL OR t.expires_at > $2)"#,
        &sha256[..],
        now,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.token_id, holder!(row)?))).transpose()
}

/// Returns a principal; `None` if it does not exist or its project is revoked.
pub async fn principal(
    connection: &mut Connection,
    project_id: &str,
    principal: &str,
) -> Result<Option<Holder>, Error> {
    let row = sqlx::query_as!(
        RawHolder,
        r#"SELECT p.project_id, p.principal, p.policies,
                  ARRAY(SELECT document FROM policy o WHERE o.project_id = p.project_id AND o.policy = ANY(p.policies))
                      AS "documents: Vec<Json<Policy>>"
           FROM principal p
           JOIN project j USING (project_id)
           WHERE p.project_id = $1 AND p.principal = $2 AND j.revoked_at IS NULL"#,
        project_id,
        principal,
    )
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// A secret key as it is stored.
#[derive(Debug, Clone)]
pub struct SealedSecret {
    /// Nonce, ciphertext and authentication tag.
    pub bytes: Vec<u8>,
    /// Id of the master key that encrypts it.
    pub master_key_id: String,
}

/// Returns the principal and the encrypted secret of an access key. `None` if it is unknown,
/// expired or revoked.
pub async fn key_holder(
    connection: &mut Connection,
    access_key: &str,
    now: Timestamp,
) -> Result<Option<(SealedSecret, Holder)>, Error> {
    let row = sqlx::query!(
        r#"SELECT k.encrypted_secret, k.master_key_id, k.project_id, k.principal, p.policies,
                  ARRAY(SELECT document FROM policy o WHERE o.project_id = k.project_id AND o.policy = ANY(p.policies))
                      AS "documents: Vec<Json<Policy>>"
           FROM access_key k
           JOIN principal p USING (project_id, principal)
           JOIN project j USING (project_id)
           WHERE k.access_key = $1 AND k.revoked_at IS NULL AND j.revoked_at IS NULL
             AND (k.expires_at IS NULL OR k.expires_at > $2)"#,
        access_key,
        now,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let sealed = SealedSecret { bytes: row.encrypted_secret, master_key_id: row.master_key_id };
        Ok((sealed, holder!(row)?))
    })
    .transpose()
}

/// An access key with its encrypted secret.
#[derive(Debug, Clone)]
pub struct SealedKey {
    /// Public part of the key.
    pub access_key: String,
    /// Project of the key.
    pub project_id: ProjectId,
    /// Its encrypted secret.
    pub sealed: SealedSecret,
}

/// Lists access keys that are encrypted with another master key than this one, by key, starting
/// after `after`. Omits keys that are expired at `now` or revoked.
pub async fn keys_of_other_masters(
    connection: &mut Connection,
    master_key_id: &str,
    after: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<SealedKey>, Error> {
    let rows = sqlx::query!(
        "SELECT access_key, project_id, encrypted_secret, master_key_id FROM access_key
         WHERE master_key_id <> $1 AND access_key > $2 AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > $3)
         ORDER BY access_key LIMIT $4",
        master_key_id,
        after,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SealedKey {
                access_key: row.access_key,
                project_id: text_id("access_key", row.project_id)?,
                sealed: SealedSecret { bytes: row.encrypted_secret, master_key_id: row.master_key_id },
            })
        })
        .collect()
}

/// Replaces the encrypted secret of an access key. Returns false, without a change, if another
/// master key than `master_key_id` encrypts it meanwhile.
pub async fn replace_secret(
    connection: &mut Connection,
    access_key: &str,
    master_key_id: &str,
    sealed: &SealedSecret,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE access_key SET encrypted_secret = $3, master_key_id = $4
         WHERE access_key = $1 AND master_key_id = $2",
        access_key,
        master_key_id,
        sealed.bytes,
        sealed.master_key_id,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A credential in a list, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    /// Token id or access key.
    pub id: String,
    /// Principal that owns the credential.
    pub principal: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// Expiry; `None` if the credential does not expire.
    pub expires_at: Option<Timestamp>,
    /// Time of the revocation; `None` if it is not revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Owner and lifetime of a new credential.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Project of the principal.
    pub project_id: &'a ProjectId,
    /// Principal that owns the credential.
    pub principal: &'a str,
    /// Expiry; `None` if the credential does not expire.
    pub expires_at: Option<Timestamp>,
    /// Creation time.
    pub now: Timestamp,
}

/// Stores a token. Returns false, without a change, if it exists.
pub async fn insert_token(
    connection: &mut Connection,
    token_id: Uuid,
    sha256: &[u8; 32],
    terms: Terms<'_>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO token (token_id, project_id, principal, sha256, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sha256) DO NOTHING",
        token_id,
        terms.project_id.as_str(),
        terms.principal,
        &sha256[..],
        terms.now,
        terms.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores an access key. Returns false, without a change, if it exists.
pub async fn insert_key(
    connection: &mut Connection,
    access_key: &str,
    sealed: &SealedSecret,
    terms: Terms<'_>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO access_key (access_key, project_id, principal, encrypted_secret, master_key_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (access_key) DO NOTHING",
        access_key,
        terms.project_id.as_str(),
        terms.principal,
        sealed.bytes,
        sealed.master_key_id,
        terms.now,
        terms.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lists a project's tokens, oldest first, starting after `after`.
pub async fn list_tokens(
    connection: &mut Connection,
    project_id: &ProjectId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<CredentialRow>, Error> {
    Ok(sqlx::query_as!(
        CredentialRow,
        r#"SELECT replace(token_id::text, '-', '') AS "id!", principal, created_at, expires_at, revoked_at
           FROM token WHERE project_id = $1 AND ($2::uuid IS NULL OR token_id > $2) ORDER BY token_id LIMIT $3"#,
        project_id.as_str(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Lists a project's access keys by key, starting after `after`.
pub async fn list_keys(
    connection: &mut Connection,
    project_id: &ProjectId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<CredentialRow>, Error> {
    Ok(sqlx::query_as!(
        CredentialRow,
        "SELECT access_key AS id, principal, created_at, expires_at, revoked_at
         FROM access_key
         WHERE project_id = $1 AND ($2::text IS NULL OR access_key > $2) ORDER BY access_key LIMIT $3",
        project_id.as_str(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Id of a credential.
#[derive(Debug, Clone, Copy)]
pub enum CredentialId<'a> {
    /// Id of a token.
    Token(Uuid),
    /// An access key.
    Key(&'a str),
}

/// Revokes a credential permanently. Returns false if it does not exist or is already revoked.
pub async fn revoke(
    connection: &mut Connection,
    project_id: &ProjectId,
    id: CredentialId<'_>,
    now: Timestamp,
) -> Result<bool, Error> {
    let project_id = project_id.as_str();
    let update = match id {
        CredentialId::Token(token_id) => sqlx::query!(
            "UPDATE token SET revoked_at = $3 WHERE project_id = $1 AND token_id = $2 AND revoked_at IS NULL",
            project_id,
            token_id,
            now,
        ),
        CredentialId::Key(access_key) => sqlx::query!(
            "UPDATE access_key SET revoked_at = $3 WHERE project_id = $1 AND access_key = $2 AND revoked_at IS NULL",
            project_id,
            access_key,
            now,
        ),
    };
    Ok(update.execute(connection).await?.rows_affected() == 1)
}

/// Records the use of a signature. Returns false if it was used before.
pub async fn use_signature(
    connection: &mut Connection,
    sha256: &[u8; 32],
    expires_at: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO used_request_signature (sha256, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &sha256[..],
        expires_at
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes a bounded number of signatures that no clock accepts any more. Returns true if more may
/// remain.
pub async fn forget_signatures(connection: &mut Connection, now: Timestamp) -> Result<bool, Error> {
    const AT_ONCE: i64 = 10_000;
    let done = sqlx::query!(
        "DELETE FROM used_request_signature WHERE sha256 IN (
             SELECT sha256 FROM used_request_signature WHERE expires_at < $1 LIMIT $2)",
        now,
        AT_ONCE,
    )
    .execute(connection)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX) >= AT_ONCE)
}
