//! Sessions of the web console. The secret of a session is stored as its hash.

use domain::{Timestamp, authz::Policy, ids::ProjectId, session::SessionTimes};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Error, codec::text_id, credential::Holder};

/// Sign-in that a session comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionOrigin {
    /// A token in the database, by its id.
    Token(Uuid),
    /// A token of the configuration: hash over the session's secret and the token's hash.
    ConfiguredToken([u8; 32]),
    /// An identity provider, by its name in the configuration.
    Provider(String),
    /// A one-time code.
    Code,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Id of the session, for the audit.
    pub session_id: Uuid,
    /// Project of the principal.
    pub project_id: ProjectId,
    /// Principal that signed in.
    pub principal: String,
    /// Name for people.
    pub name: String,
    /// Sign-in that it comes from.
    pub origin: SessionOrigin,
    /// Sign-in, last use and absolute end.
    pub times: SessionTimes,
}

/// Stores a session.
pub async fn insert(
    connection: &mut Connection,
    session: &SessionRow,
    sha256: &[u8; 32],
) -> Result<(), Error> {
    let (mut token_id, mut configured, mut provider) = (None, None, None);
    match &session.origin {
        SessionOrigin::Token(id) => token_id = Some(*id),
        SessionOrigin::ConfiguredToken(hash) => configured = Some(&hash[..]),
        SessionOrigin::Provider(name) => provider = Some(name.as_str()),
        SessionOrigin::Code => {}
    }
    sqlx::query!(
        "INSERT INTO session (session_id, project_id, principal, name, sha256, token_id, configured_sha256, provider,
                              created_at, used_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        session.session_id,
        session.project_id.as_str(),
        session.principal,
        session.name,
        &sha256[..],
        token_id,
        configured,
        provider,
        session.times.created_at,
        session.times.used_at,
        session.times.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the sessions of a principal until the transaction ends, so that two sign-ins count them
/// one after the other.
pub async fn lock_principal(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
) -> Result<(), Error> {
    sqlx::query_scalar!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended($1 || E'\n' || $2, 7)) IS NULL AS "locked!""#,
        project_id.as_str(),
        principal,
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Deletes the sessions of a principal beyond the `keep` most recently used ones.
pub async fn delete_excess(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
    keep: i64,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM session WHERE session_id IN (
             SELECT session_id FROM session WHERE project_id = $1 AND principal = $2
             ORDER BY used_at DESC, session_id DESC OFFSET $3)",
        project_id.as_str(),
        principal,
        keep,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Returns a session and its principal, by the hash of its secret; the principal is `None` for a
/// token of the configuration. `None` if the session is unknown, or if its token, its principal or
/// its project is gone. A session ends with its token. The caller checks its times.
pub async fn find(
    connection: &mut Connection,
    sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Option<(SessionRow, Option<Holder>)>, Error> {
    let row = sqlx::query!(
        r#"SELECT s.session_id, s.project_id, s.principal, s.name, s.token_id, s.configured_sha256, s.provider,
                  s.created_at, s.used_at, least(s.expires_at, t.expires_at) AS "expires_at!",
                  p.policies AS "policies?",
                  ARRAY(SELECT document FROM policy o WHERE o.project_id = s.project_id AND o.policy = ANY(p.policies))
                      AS "documents: Vec<Json<Policy>>"
           FROM session s
           LEFT JOIN principal p ON p.project_id = s.project_id AND p.principal = s.principal
           LEFT JOIN project j ON j.project_id = s.project_id
           LEFT JOIN token t ON t.token_id = s.token_id
           WHERE s.sha256 = $1 AND j.revoked_at IS NULL
             AND (s.configured_sha256 IS NOT NULL OR p.principal IS NOT NULL)
             AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)"#,
        &sha256[..],
        now,
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let project_id: ProjectId = text_id("session", row.project_id)?;
    let origin = match (row.token_id, row.configured_sha256, row.provider) {
        (Some(token_id), _, _) => SessionOrigin::Token(token_id),
        (None, Some(hash), _) => SessionOrigin::ConfiguredToken(
            hash.try_into().map_err(|_| Error::corrupt("session", "a hash has not 32 bytes"))?,
        ),
        (None, None, Some(provider)) => SessionOrigin::Provider(provider),
        (None, None, None) => SessionOrigin::Code,
    };
    let holder =
        row.policies.filter(|_| !matches!(origin, SessionOrigin::ConfiguredToken(_))).map(|policies| {
            let documents =
                row.documents.unwrap_or_default().into_iter().map(|document| document.0).collect();
            Holder { project_id: project_id.clone(), principal: row.principal.clone(), policies, documents }
        });
    let times = SessionTimes { created_at: row.created_at, used_at: row.used_at, expires_at: row.expires_at };
    let session = SessionRow {
        session_id: row.session_id,
        project_id,
        principal: row.principal,
        name: row.name,
        origin,
        times,
    };
    Ok(Some((session, holder)))
}

/// Stores a use of a session. An earlier one changes nothing.
pub async fn store_use(connection: &mut Connection, session_id: Uuid, now: Timestamp) -> Result<(), Error> {
    sqlx::query!("UPDATE session SET used_at = $2 WHERE session_id = $1 AND used_at < $2", session_id, now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes a session by the hash of its secret. Returns whether it existed.
pub async fn delete(connection: &mut Connection, sha256: &[u8; 32]) -> Result<bool, Error> {
    let done = sqlx::query!("DELETE FROM session WHERE sha256 = $1", &sha256[..]).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes all sessions of a principal. Returns their number.
pub async fn delete_all(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM session WHERE project_id = $1 AND principal = $2",
        project_id.as_str(),
        principal,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes a bounded number of sessions that ended, absolutely or because nobody used them since
/// `used_before`. Returns true if more may remain.
pub async fn forget(
    connection: &mut Connection,
    now: Timestamp,
    used_before: Timestamp,
) -> Result<bool, Error> {
    const AT_ONCE: i64 = 1_000;
    let done = sqlx::query!(
        "DELETE FROM session WHERE session_id IN (
             SELECT session_id FROM session WHERE expires_at <= $1 OR used_at <= $2 LIMIT $3)",
        now,
        used_before,
        AT_ONCE,
    )
    .execute(connection)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX) >= AT_ONCE)
}
