//! Enrolment tokens, issued desktop certificates, and revocations.

use domain::{
    Timestamp,
    desktop::DesktopFacts,
    enrolment::{Assignment, DesktopEnrolment, EnrolmentToken, Issued, is_revoked},
    ids::{DesktopId, ProjectId, WorkerId},
    tags::Tags,
};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, int4, text_id},
    desktop::{certificate, disconnect},
};

/// An enrolment token in a list, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentTokenRow {
    /// Id of the token.
    pub token_id: Uuid,
    /// Limits and uses of the token.
    pub token: EnrolmentToken,
}

struct RawToken {
    token_id: Uuid,
    desktop_id: Option<String>,
    pool_id: Option<String>,
    availability_zone: Option<String>,
    tags: Json<Tags>,
    created_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    max_uses: i32,
    uses: i32,
}

impl TryFrom<RawToken> for EnrolmentTokenRow {
    type Error = Error;

    fn try_from(raw: RawToken) -> Result<Self, Error> {
        const TABLE: &str = "enrolment_token";
        Ok(Self {
            token_id: raw.token_id,
            token: EnrolmentToken {
                desktop_id: raw.desktop_id.map(|id| text_id(TABLE, id)).transpose()?,
                assignment: Assignment {
                    pool_id: raw.pool_id,
                    availability_zone: raw.availability_zone,
                    tags: raw.tags.0,
                },
                created_at: raw.created_at,
                expires_at: raw.expires_at,
                revoked_at: raw.revoked_at,
                max_uses: count(TABLE, raw.max_uses)?,
                uses: count(TABLE, raw.uses)?,
            },
        })
    }
}

/// Stores a new token with the public key of its secret.
pub async fn insert_token(
    connection: &mut Connection,
    project_id: &ProjectId,
    row: &EnrolmentTokenRow,
    public_key: &[u8; 32],
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO enrolment_token (token_id, project_id, desktop_id, public_key, max_uses, created_at, expires_at,
                                      pool_id, availability_zone, tags)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        row.token_id,
        project_id.as_str(),
        row.token.desktop_id.as_ref().map(DesktopId::as_str),
        &public_key[..],
        int4(row.token.max_uses),
        row.token.created_at,
        row.token.expires_at,
        row.token.assignment.pool_id,
        row.token.assignment.availability_zone,
        serde_json::json!(row.token.assignment.tags),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lists a project's tokens, oldest first, starting after `after`.
pub async fn list_tokens(
    connection: &mut Connection,
    project_id: &ProjectId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<EnrolmentTokenRow>, Error> {
    let rows = sqlx::query_as!(
        RawToken,
        r#"SELECT token_id, desktop_id, pool_id, availability_zone, tags AS "tags: Json<Tags>", created_at, expires_at,
                  revoked_at, max_uses, uses
           FROM enrolment_token
           WHERE project_id = $1 AND ($2::uuid IS NULL OR token_id > $2) ORDER BY token_id LIMIT $3"#,
        project_id.as_str(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(EnrolmentTokenRow::try_from).collect()
}

/// Revokes a token permanently. Returns false if it does not exist or is already revoked.
pub async fn revoke_token(
    connection: &mut Connection,
    project_id: &ProjectId,
    token_id: Uuid,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE enrolment_token SET revoked_at = $3
         WHERE project_id = $1 AND token_id = $2 AND revoked_at IS NULL",
        project_id.as_str(),
        token_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A token that is locked until the end of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldToken {
    /// Project of the token.
    pub project_id: ProjectId,
    /// Limits and uses of the token.
    pub token: EnrolmentToken,
    /// Key that verifies the token's signatures.
    pub public_key: [u8; 32],
}

/// Locks a token. `None` if it is unknown or its project is revoked. Concurrent enrolments with the
/// same token wait until the transaction ends.
pub async fn hold_token(connection: &mut Connection, token_id: Uuid) -> Result<Option<HeldToken>, Error> {
    let row = sqlx::query!(
        r#"SELECT t.project_id, t.token_id, t.desktop_id, t.pool_id, t.availability_zone, t.tags AS "tags: Json<Tags>",
                  t.created_at, t.expires_at, t.revoked_at, t.max_uses, t.uses, t.public_key
           FROM enrolment_token t JOIN project p USING (project_id)
           WHERE t.token_id = $1 AND p.revoked_at IS NULL FOR UPDATE OF t"#,
        token_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let raw = RawToken {
            token_id: row.token_id,
            desktop_id: row.desktop_id,
            pool_id: row.pool_id,
            availability_zone: row.availability_zone,
            tags: row.tags,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            max_uses: row.max_uses,
            uses: row.uses,
        };
        let project_id = text_id("enrolment_token", row.project_id)?;
        let EnrolmentTokenRow { token, .. } = raw.try_into()?;
        let public_key = <[u8; 32]>::try_from(row.public_key)
            .map_err(|key| Error::corrupt("enrolment_token", format!("public key of {} bytes", key.len())))?;
        Ok(HeldToken { project_id, token, public_key })
    })
    .transpose()
}

/// Adds one use of a token.
pub async fn spend(connection: &mut Connection, token_id: Uuid) -> Result<(), Error> {
    sqlx::query!("UPDATE enrolment_token SET uses = uses + 1 WHERE token_id = $1", token_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Locks a desktop for changes of its certificates, until the transaction ends.
pub async fn hold_desktop(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
) -> Result<(), Error> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 8)) AS "void: ()""#,
        project_id.as_str(),
        desktop_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the certificate state of a desktop. A manually issued certificate is known after its
/// desktop has connected with it.
pub async fn standing(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
) -> Result<DesktopEnrolment, Error> {
    let row = sqlx::query!(
        r#"SELECT (SELECT max(not_after) FROM desktop_certificate
                   WHERE project_id = $1 AND desktop_id = $2 AND revoked_at IS NULL) AS issued_until,
                  (SELECT revoked_at FROM desktop_revocation WHERE project_id = $1 AND desktop_id = $2) AS revoked_at,
                  d.certificate_serial AS "serial?", d.certificate_not_before AS "not_before?",
                  d.certificate_not_after AS "not_after?",
                  d.retired_at IS NOT NULL AS "is_retired!", d.desktop_id IS NOT NULL AS "exists!",
                  EXISTS (SELECT FROM desktop_certificate c WHERE c.project_id = $1 AND c.desktop_id = $2
                              AND c.serial = d.certificate_serial) AS "is_issued!"
           FROM (VALUES (1)) AS one LEFT JOIN desktop d ON d.project_id = $1 AND d.desktop_id = $2"#,
        project_id.as_str(),
        desktop_id.as_str(),
    )
    .fetch_one(connection)
    .await?;
    let shown = certificate(row.serial, row.not_before, row.not_after);
    let by_hand = shown
        .filter(|shown| !row.is_issued && !is_revoked(None, row.revoked_at, shown))
        .map(|it| it.not_after);
    Ok(DesktopEnrolment {
        certified_until: row.issued_until.max(by_hand),
        revoked_at: row.revoked_at,
        is_retired: row.is_retired,
        exists: row.exists,
    })
}

/// A signed certificate to store.
#[derive(Debug, Clone)]
pub struct NewCertificate<'a> {
    /// Project of the desktop.
    pub project_id: &'a ProjectId,
    /// Desktop of the certificate.
    pub desktop_id: &'a DesktopId,
    /// Serial number, in hex.
    pub serial: &'a str,
    /// SHA-256 of the public key.
    pub public_key_sha256: &'a [u8; 32],
    /// Certificate and its intermediates up to the CA, in DER.
    pub chain: &'a [Vec<u8>],
    /// Enrolment token of the first certificate; `None` for a renewal.
    pub token_id: Option<Uuid>,
    /// Time of issue.
    pub issued_at: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// Stores a certificate. Deletes the desktop's certificates that ended before a given time.
pub async fn insert_certificate(
    connection: &mut Connection,
    new: &NewCertificate<'_>,
    forget_before: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO desktop_certificate (project_id, desktop_id, serial, public_key_sha256, chain, token_id,
                                          issued_at, not_after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.project_id.as_str(),
        new.desktop_id.as_str(),
        new.serial,
        &new.public_key_sha256[..],
        new.chain,
        new.token_id,
        new.issued_at,
        new.not_after,
    )
    .execute(&mut *connection)
    .await?;
    // The desktop can connect again.
    sqlx::query!(
        "UPDATE desktop SET revoked_at = NULL WHERE project_id = $1 AND desktop_id = $2 AND revoked_at IS NOT NULL",
        new.project_id.as_str(),
        new.desktop_id.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM desktop_certificate WHERE project_id = $1 AND desktop_id = $2 AND not_after < $3",
        new.project_id.as_str(),
        new.desktop_id.as_str(),
        forget_before,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the certificate chain that was signed for this key before, with the same token or as a
/// renewal. `None` if no such chain exists or it has expired.
pub async fn signed_before(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
    public_key_sha256: &[u8; 32],
    token_id: Option<Uuid>,
    now: Timestamp,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT chain FROM desktop_certificate
         WHERE project_id = $1 AND desktop_id = $2 AND public_key_sha256 = $3 AND token_id IS NOT DISTINCT FROM $4
           AND revoked_at IS NULL AND not_after > $5 LIMIT 1",
        project_id.as_str(),
        desktop_id.as_str(),
        &public_key_sha256[..],
        token_id,
        now,
    )
    .fetch_optional(connection)
    .await?)
}

/// Returns the stored state of a certificate, and the certificate in DER; `None` for a manually
/// issued one.
pub async fn issued(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
    serial: &str,
) -> Result<Option<(Issued, Vec<u8>)>, Error> {
    let row = sqlx::query!(
        r#"SELECT issued_at, not_after, revoked_at, chain[1] AS "certificate!" FROM desktop_certificate
           WHERE project_id = $1 AND desktop_id = $2 AND serial = $3"#,
        project_id.as_str(),
        desktop_id.as_str(),
        serial,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let (issued_at, not_after, revoked_at) = (row.issued_at, row.not_after, row.revoked_at);
        (Issued { issued_at, not_after, revoked_at }, row.certificate)
    }))
}

/// Result of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Number of known certificates that were valid until the revocation.
    pub certificates: u64,
    /// Whether the desktop was connected with a certificate.
    pub was_connected: bool,
    /// Whether the desktop has ever connected.
    pub is_known: bool,
}

/// Revokes every certificate that a desktop has now. Its presence is cleared immediately, and its
/// worker receives the request to close the connection.
pub async fn revoke_desktop(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
    now: Timestamp,
) -> Result<Revoked, Error> {
    hold_desktop(connection, project_id, desktop_id).await?;
    let revoked = sqlx::query!(
        "UPDATE desktop_certificate SET revoked_at = $3
         WHERE project_id = $1 AND desktop_id = $2 AND revoked_at IS NULL",
        project_id.as_str(),
        desktop_id.as_str(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO desktop_revocation (project_id, desktop_id, revoked_at) VALUES ($1, $2, $3)
         ON CONFLICT (project_id, desktop_id) DO UPDATE
             SET revoked_at = greatest(desktop_revocation.revoked_at, excluded.revoked_at)",
        project_id.as_str(),
        desktop_id.as_str(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    let desktop = sqlx::query!(
        // Without TLS there is no certificate to revoke.
        "UPDATE desktop SET revoked_at = CASE WHEN certificate_serial IS NOT NULL THEN coalesce(revoked_at, $3) END,
             -- Nothing that the desktop authenticates from now on counts.
             session_keys = '{}'
         WHERE project_id = $1 AND desktop_id = $2 RETURNING worker_id, certificate_serial",
        project_id.as_str(),
        desktop_id.as_str(),
        now,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let is_known = desktop.is_some();
    let held_by = desktop.and_then(|row| row.certificate_serial.and(row.worker_id));
    if let Some(worker_id) = &held_by {
        let worker_id = text_id("desktop", worker_id.clone())?;
        disconnect(connection, &worker_id, &[(project_id.clone(), desktop_id.clone())], now).await?;
    }
    Ok(Revoked { certificates: revoked.rows_affected(), was_connected: held_by.is_some(), is_known })
}

/// Returns the desktops that presented a revoked certificate.
pub async fn revoked_among(
    connection: &mut Connection,
    desktops: &[DesktopFacts],
) -> Result<Vec<(ProjectId, DesktopId)>, Error> {
    let shown: Vec<_> =
        desktops.iter().filter_map(|facts| Some((facts, facts.certificate.as_ref()?))).collect();
    if shown.is_empty() {
        return Ok(Vec::new());
    }
    let project_ids: Vec<String> = shown.iter().map(|(facts, _)| facts.project_id.to_string()).collect();
    let desktop_ids: Vec<String> = shown.iter().map(|(facts, _)| facts.desktop_id.to_string()).collect();
    let serials: Vec<String> = shown.iter().map(|(_, certificate)| certificate.serial.clone()).collect();
    let rows = sqlx::query!(
        r#"SELECT n.place AS "place!", c.serial IS NOT NULL AS "is_issued!", c.revoked_at AS "revoked_at?",
                  r.revoked_at AS "desktop_revoked_at?"
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n (project_id, desktop_id, serial, place)
           LEFT JOIN desktop_certificate c USING (project_id, desktop_id, serial)
           LEFT JOIN desktop_revocation r USING (project_id, desktop_id)
           WHERE c.revoked_at IS NOT NULL OR r.revoked_at IS NOT NULL"#,
        &project_ids,
        &desktop_ids,
        &serials,
    )
    .fetch_all(connection)
    .await?;
    let revoked = rows.into_iter().filter_map(|row| {
        let (facts, certificate) = shown.get(usize::try_from(row.place - 1).ok()?)?;
        let known = row.is_issued.then_some(row.revoked_at);
        is_revoked(known, row.desktop_revoked_at, certificate)
            .then(|| (facts.project_id.clone(), facts.desktop_id.clone()))
    });
    Ok(revoked.collect())
}

/// A connection that its worker must close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedConnection {
    /// Project of the desktop.
    pub project_id: ProjectId,
    /// Desktop of the connection.
    pub desktop_id: DesktopId,
    /// Serial number of the presented certificate; empty for a connection without one.
    pub serial: String,
}

/// Lists at most `limit` connections that a worker must close.
pub async fn to_end(
    connection: &mut Connection,
    worker_id: &WorkerId,
    limit: i64,
) -> Result<Vec<RevokedConnection>, Error> {
    let rows = sqlx::query!(
        r#"SELECT project_id, desktop_id, revoked_serial AS "serial!" FROM desktop
           WHERE revoked_worker_id = $1 AND revoked_serial IS NOT NULL LIMIT $2"#,
        worker_id.as_str(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(RevokedConnection {
                project_id: text_id("desktop", row.project_id)?,
                desktop_id: text_id("desktop", row.desktop_id)?,
                serial: row.serial,
            })
        })
        .collect()
}
