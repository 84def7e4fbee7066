//! Seals of the audit: their chains, the entries that wait for a seal, and checkpoints.

use std::collections::HashMap;

use domain::{
    Timestamp,
    audit::{Checkpoint, EntryFields, Head, Seal, SealedEntry},
    merkle::Hash,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Connection, Error, codec::hash};

/// Arbitrary class of the advisory locks of chains.
const CHAIN_LOCK: i32 = 0x6772_6179;

/// A signature with the signer's certificate in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Certificate of the signer, in DER.
    pub certificate: Vec<u8>,
    /// Signature over the message of the seal or the checkpoint.
    pub signature: Vec<u8>,
}

/// A stored seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealRow {
    /// The seal, as it is stored.
    pub seal: Seal,
    /// Stored hash of the seal.
    pub hash: Hash,
    /// Its signature; `None` if the scheduler had no signer.
    pub signature: Option<Signature>,
}

/// An entry that waits for its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsealed {
    /// Id of the entry.
    pub audit_id: Uuid,
    /// Hash of the entry; all zeros if it no longer exists.
    pub hash: Hash,
}

/// Lists chains with entries that wait for a seal, by project, starting after `after`. The
/// cluster's chain is the first, with an empty project.
pub async fn pending_chains(
    connection: &mut Connection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<String>, Error> {
    // Jumps from project to project in the index, however many entries each of them has.
    Ok(sqlx::query_scalar!(
        r#"WITH RECURSIVE chain AS (
               (SELECT project_id, 1 AS number FROM audit_unsealed
                WHERE $1::text IS NULL OR project_id > $1 ORDER BY project_id LIMIT 1)
               UNION ALL
               SELECT next.project_id, chain.number + 1 FROM chain CROSS JOIN LATERAL (
                   SELECT project_id FROM audit_unsealed u
                   WHERE u.project_id > chain.project_id ORDER BY project_id LIMIT 1) AS next
               WHERE chain.number < $2::int8)
           SELECT project_id AS "project_id!" FROM chain"#,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Locks a chain until the caller commits, and returns its last seal. Returns `None` while another
/// scheduler holds the lock.
pub async fn lock_chain(connection: &mut Connection, project_id: &str) -> Result<Option<Head>, Error> {
    // Without the advisory lock, the insert would wait for another scheduler that begins the chain.
    sqlx::query!(
        "INSERT INTO audit_chain (project_id, seal, hash)
         SELECT $1, 0, $2 WHERE pg_try_advisory_xact_lock($3, hashtext($1)) ON CONFLICT DO NOTHING",
        project_id,
        &Hash::default()[..],
        CHAIN_LOCK,
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query!(
        "SELECT seal, hash FROM audit_chain WHERE project_id = $1 FOR UPDATE SKIP LOCKED",
        project_id
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| head(row.seal, &row.hash)).transpose()
}

/// Returns the last seal of a chain, as it is stored apart from the seals.
pub async fn fetch_head(connection: &mut Connection, project_id: &str) -> Result<Head, Error> {
    let row = sqlx::query!("SELECT seal, hash FROM audit_chain WHERE project_id = $1", project_id)
        .fetch_optional(connection)
        .await?;
    row.map_or_else(|| Ok(Head::default()), |row| head(row.seal, &row.hash))
}

fn head(number: i64, bytes: &[u8]) -> Result<Head, Error> {
    Ok(Head { number: number.cast_unsigned(), hash: hash("audit_chain", bytes)? })
}

/// Lists the oldest entries that wait for a seal, by id, with ids before `before`.
///
/// A transaction that adds an entry adds the wait in the same statement, so a late commit cannot
/// fall between two seals: its entry waits from the commit on, however small its id is.
pub async fn unsealed(
    connection: &mut Connection,
    project_id: &str,
    before: Uuid,
    limit: i64,
) -> Result<Vec<Unsealed>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT audit_id FROM audit_unsealed WHERE project_id = $1 AND audit_id < $2
         ORDER BY audit_id LIMIT $3",
        project_id,
        before,
        limit,
    )
    .fetch_all(&mut *connection)
    .await?;
    let hashes = entry_hashes(connection, project_id, &ids).await?;
    let hash = |audit_id| hashes.get(&audit_id).copied().unwrap_or_default();
    Ok(ids.into_iter().map(|audit_id| Unsealed { audit_id, hash: hash(audit_id) }).collect())
}

/// Returns the hashes of entries of a project, as they are stored now. Missing entries have none.
pub async fn entry_hashes(
    connection: &mut Connection,
    project_id: &str,
    audit_ids: &[Uuid],
) -> Result<HashMap<Uuid, Hash>, Error> {
    let rows = sqlx::query!(
        r#"SELECT audit_id, project_id, at, principal, credential, action, resource, result, reason, source,
                  request_id, details::text AS "details!"
           FROM audit WHERE audit_id = ANY($1) AND project_id = $2"#,
        audit_ids,
        project_id,
    )
    .fetch_all(connection)
    .await?;
    let hashes = rows.into_iter().map(|row| {
        let fields = EntryFields {
            audit_id: row.audit_id,
            project_id: &row.project_id,
            at: row.at,
            texts: [
                &row.principal,
                &row.credential,
                &row.action,
                &row.resource,
                &row.result,
                &row.reason,
                &row.source,
                &row.request_id,
            ],
            details: &row.details,
        };
        (row.audit_id, fields.hash())
    });
    Ok(hashes.collect())
}

/// Stores a seal as the last one of its locked chain. Its entries wait no more.
pub async fn insert(
    connection: &mut Connection,
    seal_id: Uuid,
    seal: &Seal,
    signature: Option<&Signature>,
) -> Result<(), Error> {
    let signer = insert_signer(connection, signature).await?;
    let audit_ids: Vec<Uuid> = seal.entries.iter().map(|entry| entry.audit_id).collect();
    let hashes: Vec<u8> = seal.entries.iter().flat_map(|entry| entry.hash).collect();
    let hash = seal.hash();
    sqlx::query!(
        "INSERT INTO audit_seal (seal_id, project_id, seal, at, previous_hash, hash, audit_ids, entry_hashes,
                                 signer_sha256, signature)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        seal_id,
        seal.project_id,
        seal.number.cast_signed(),
        seal.at,
        &seal.previous[..],
        &hash[..],
        &audit_ids,
        hashes,
        signer.as_deref(),
        signature.map(|signature| &signature.signature[..]),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE audit_chain SET seal = $2, hash = $3 WHERE project_id = $1",
        seal.project_id,
        seal.number.cast_signed(),
        &hash[..],
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM audit_unsealed WHERE project_id = $1 AND audit_id = ANY($2)",
        seal.project_id,
        &audit_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the certificate of a signature once, and returns its SHA-256.
async fn insert_signer(
    connection: &mut Connection,
    signature: Option<&Signature>,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(Signature { certificate, .. }) = signature else { return Ok(None) };
    let sha256 = Sha256::digest(certificate).to_vec();
    sqlx::query!(
        "INSERT INTO audit_signer (sha256, certificate) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        sha256,
        certificate,
    )
    .execute(connection)
    .await?;
    Ok(Some(sha256))
}

/// Lists seals of a chain by number, starting after a number.
pub async fn list(
    connection: &mut Connection,
    project_id: &str,
    after: u64,
    limit: i64,
) -> Result<Vec<SealRow>, Error> {
    let rows = sqlx::query_as!(
        Raw,
        r#"SELECT s.seal, s.at, s.previous_hash, s.hash, s.audit_ids, s.entry_hashes, s.signature,
                  c.certificate AS "certificate?"
           FROM audit_seal s LEFT JOIN audit_signer c ON c.sha256 = s.signer_sha256
           WHERE s.project_id = $1 AND s.seal > $2 ORDER BY s.seal LIMIT $3"#,
        project_id,
        after.cast_signed(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| row.into_seal(project_id)).collect()
}

struct Raw {
    seal: i64,
    at: Timestamp,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
    audit_ids: Vec<Uuid>,
    entry_hashes: Vec<u8>,
    signature: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
}

impl Raw {
    fn into_seal(self, project_id: &str) -> Result<SealRow, Error> {
        // A tampered row may have fewer hashes than ids: the others are zeros, and the hash of the
        // seal does not match.
        let hashes = self.entry_hashes.chunks(size_of::<Hash>());
        let hashes = hashes.map(|bytes| bytes.try_into().unwrap_or_default());
        let hashes = hashes.chain(std::iter::repeat(Hash::default()));
        let entries = self.audit_ids.into_iter().zip(hashes);
        Ok(SealRow {
            seal: Seal {
                project_id: project_id.to_owned(),
                number: self.seal.cast_unsigned(),
                at: self.at,
                previous: hash("audit_seal", &self.previous_hash)?,
                entries: entries.map(|(audit_id, hash)| SealedEntry { audit_id, hash }).collect(),
            },
            hash: hash("audit_seal", &self.hash)?,
            signature: signature(self.certificate, self.signature),
        })
    }
}

/// Joins a signature with its certificate. A signature whose certificate is missing cannot be
/// verified: its certificate is empty.
fn signature(certificate: Option<Vec<u8>>, signature: Option<Vec<u8>>) -> Option<Signature> {
    signature.map(|signature| Signature { certificate: certificate.unwrap_or_default(), signature })
}

/// Returns whether an entry with an id before `before` waits for its seal, in any chain.
pub async fn any_unsealed(connection: &mut Connection, before: Uuid) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM audit_unsealed WHERE audit_id < $1) AS "any!""#,
        before
    )
    .fetch_one(connection)
    .await?)
}

/// Lists chains without a checkpoint for this first kept id, each with its last seal before the id.
pub async fn without_checkpoint(
    connection: &mut Connection,
    kept_from: Uuid,
    limit: i64,
) -> Result<Vec<(String, Head)>, Error> {
    // A chain that is idle for longer than the retention has its last seal in the checkpoint
    // before.
    let rows = sqlx::query!(
        r#"SELECT c.project_id, coalesce(s.seal, k.seal, 0) AS "seal!",
                  coalesce(s.hash, k.hash, $3) AS "hash!"
           FROM audit_chain c
           LEFT JOIN LATERAL (
               SELECT seal, hash FROM audit_seal s WHERE s.project_id = c.project_id AND s.seal_id < $1
               ORDER BY s.seal DESC LIMIT 1) AS s ON true
           LEFT JOIN LATERAL (
               SELECT seal, hash, kept_from FROM audit_checkpoint k WHERE k.project_id = c.project_id
               ORDER BY k.kept_from DESC LIMIT 1) AS k ON true
           WHERE k.kept_from IS NULL OR k.kept_from < $1
           ORDER BY c.project_id LIMIT $2"#,
        kept_from,
        limit,
        &Hash::default()[..],
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((row.project_id, head(row.seal, &row.hash)?))).collect()
}

/// Stores a checkpoint, unless the chain has one for the same id.
pub async fn insert_checkpoint(
    connection: &mut Connection,
    checkpoint: &Checkpoint,
    signature: Option<&Signature>,
) -> Result<(), Error> {
    let signer = insert_signer(connection, signature).await?;
    sqlx::query!(
        "INSERT INTO audit_checkpoint (project_id, kept_from, at, seal, hash, signer_sha256, signature)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        checkpoint.project_id,
        checkpoint.kept_from,
        checkpoint.at,
        checkpoint.number.cast_signed(),
        &checkpoint.hash[..],
        signer.as_deref(),
        signature.map(|signature| &signature.signature[..]),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the last checkpoint of a chain; `None` if no month was deleted.
pub async fn checkpoint(
    connection: &mut Connection,
    project_id: &str,
) -> Result<Option<(Checkpoint, Option<Signature>)>, Error> {
    let row = sqlx::query!(
        r#"SELECT k.kept_from, k.at, k.seal, k.hash, k.signature, c.certificate AS "certificate?"
           FROM audit_checkpoint k LEFT JOIN audit_signer c ON c.sha256 = k.signer_sha256
           WHERE k.project_id = $1 ORDER BY k.kept_from DESC LIMIT 1"#,
        project_id
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let checkpoint = Checkpoint {
        project_id: project_id.to_owned(),
        kept_from: row.kept_from,
        at: row.at,
        number: row.seal.cast_unsigned(),
        hash: hash("audit_checkpoint", &row.hash)?,
    };
    Ok(Some((checkpoint, signature(row.certificate, row.signature))))
}

/// Lists all chains: those with seals, and those that only have entries.
pub async fn chains(connection: &mut Connection) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        // Jumps from project to project in the indexes, however many entries each of them has.
        r#"WITH RECURSIVE entries AS (
               (SELECT project_id FROM audit ORDER BY project_id LIMIT 1)
               UNION ALL
               SELECT next.project_id FROM entries CROSS JOIN LATERAL (
                   SELECT project_id FROM audit a WHERE a.project_id > entries.project_id
                   ORDER BY project_id LIMIT 1) AS next),
           seals AS (
               (SELECT project_id FROM audit_seal ORDER BY project_id LIMIT 1)
               UNION ALL
               SELECT next.project_id FROM seals CROSS JOIN LATERAL (
                   SELECT project_id FROM audit_seal s WHERE s.project_id > seals.project_id
                   ORDER BY project_id LIMIT 1) AS next)
           SELECT project_id AS "project_id!" FROM audit_chain
           UNION SELECT project_id FROM seals UNION SELECT project_id FROM entries ORDER BY 1"#
    )
    .fetch_all(connection)
    .await?)
}

/// Counts the entries of a chain that wait for their seal.
pub async fn count_unsealed(connection: &mut Connection, project_id: &str) -> Result<u64, Error> {
    let number = sqlx::query_scalar!(
        r#"SELECT count(*) AS "number!" FROM audit_unsealed WHERE project_id = $1"#,
        project_id
    )
    .fetch_one(connection)
    .await?;
    Ok(number.cast_unsigned())
}

/// Returns the first entry that waits for its seal and does not exist; `None` without one.
pub async fn missing_unsealed(connection: &mut Connection, project_id: &str) -> Result<Option<Uuid>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT u.audit_id FROM audit_unsealed u
         WHERE u.project_id = $1
           AND NOT EXISTS (SELECT FROM audit a WHERE a.audit_id = u.audit_id AND a.project_id = u.project_id)
         ORDER BY u.audit_id LIMIT 1",
        project_id
    )
    .fetch_optional(connection)
    .await?)
}

/// Returns the first entry, from an id on, that is neither sealed nor waits for its seal; `None`
/// without one. Only seals with numbers behind `after` and up to `until` count: the verified ones.
pub async fn inserted(
    connection: &mut Connection,
    project_id: &str,
    from: Uuid,
    (after, until): (u64, u64),
) -> Result<Option<(Uuid, Timestamp)>, Error> {
    let row = sqlx::query!(
        "SELECT a.audit_id, a.at FROM audit a
         LEFT JOIN (SELECT unnest(audit_ids) AS audit_id FROM audit_seal
                    WHERE project_id = $1 AND seal > $3 AND seal <= $4) AS sealed
             ON sealed.audit_id = a.audit_id
         WHERE a.project_id = $1 AND a.audit_id >= $2 AND sealed.audit_id IS NULL
           AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.project_id = $1 AND u.audit_id = a.audit_id)
         ORDER BY a.audit_id LIMIT 1",
        project_id,
        from,
        after.cast_signed(),
        until.cast_signed(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.audit_id, row.at)))
}

/// Counts the stored seals of a chain with numbers behind `after` and up to `until`.
pub async fn count(
    connection: &mut Connection,
    project_id: &str,
    (after, until): (u64, u64),
) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM audit_seal WHERE project_id = $1 AND seal > $2 AND seal <= $3"#,
        project_id,
        after.cast_signed(),
        until.cast_signed(),
    )
    .fetch_one(connection)
    .await?;
    Ok(count.cast_unsigned())
}

/// Makes a transaction a snapshot of one moment, whose statements may take as long as they need.
/// For a verification, which reads the whole audit of a project while others write.
pub async fn begin_snapshot(connection: &mut Connection) -> Result<(), Error> {
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *connection)
        .await?;
    sqlx::query("SET LOCAL statement_timeout = 0").execute(connection).await?;
    Ok(())
}
