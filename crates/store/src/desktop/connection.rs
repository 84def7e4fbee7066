//! Connections of desktops. Presence is written in bulk, on change.

use std::collections::HashSet;

use domain::{
    Timestamp,
    desktop::DesktopFacts,
    identity::{AgentIdentity, Holder, MAX_FORMER_AGENTS},
    ids::{DesktopId, ProjectId, TaskId, WorkerId},
};
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, text_id},
};

/// Number of session keys that a desktop keeps.
const SESSION_KEYS: i32 = 4;

/// Stores the desktops that a worker now holds: inserts new ones and updates known ones. A desktop
/// that moves from another worker keeps its connection time. Operator tags stay and take
/// precedence.
///
/// Returns the refused desktops. A desktop is refused if it is retired (see
/// [`super::retired_among`]). It is also refused if another worker holds a connection of another
/// process, or a newer one of the same process, if the agent's identity is outdated (see
/// [`domain::identity`]), or if another desktop has the same id but for case or Unicode form.
#[expect(clippy::too_many_lines, reason = "most of the lines are one statement")]
pub async fn connected(
    connection: &mut Connection,
    worker_id: &WorkerId,
    all: &[DesktopFacts],
    now: Timestamp,
) -> Result<Vec<(ProjectId, DesktopId)>, Error> {
    let mut seen = HashSet::new();
    let is_first =
        |desktop: &&DesktopFacts| seen.insert((desktop.project_id.clone(), desktop.desktop_id.canonical()));
    let desktops: Vec<&DesktopFacts> = all.iter().filter(is_first).collect();
    let column = |field: fn(&DesktopFacts) -> &str| -> Vec<String> {
        desktops.iter().map(|desktop| field(desktop).to_owned()).collect()
    };
    let tags: Vec<serde_json::Value> =
        desktops.iter().map(|desktop| serde_json::json!(desktop.tags)).collect();
    let connected_at: Vec<Timestamp> = desktops.iter().map(|desktop| desktop.connected_at).collect();
    let canonical_ids: Vec<String> = desktops.iter().map(|desktop| desktop.desktop_id.canonical()).collect();
    let incarnations: Vec<i64> =
        desktops.iter().map(|desktop| i64::try_from(desktop.incarnation).unwrap_or(i64::MAX)).collect();
    let containments: Vec<Option<String>> =
        desktops.iter().map(|desktop| desktop.containment.map(|word| word.as_str().to_owned())).collect();
    let shown = || desktops.iter().map(|desktop| desktop.certificate.as_ref());
    let serials: Vec<Option<String>> = shown().map(|shown| shown.map(|it| it.serial.clone())).collect();
    let not_before: Vec<Option<Timestamp>> = shown().map(|shown| shown.map(|it| it.not_before)).collect();
    let not_after: Vec<Option<Timestamp>> = shown().map(|shown| shown.map(|it| it.not_after)).collect();
    let attach = || desktops.iter().map(|desktop| desktop.attach.as_ref());
    let attach_numbers: Vec<Option<i64>> = attach()
        .map(|attach| attach.map(|attach| i64::try_from(attach.number).unwrap_or(i64::MAX)))
        .collect();
    let attach_hashes: Vec<Option<Vec<u8>>> =
        attach().map(|attach| attach.map(|attach| attach.sha256.to_vec())).collect();
    let public_keys: Vec<Option<Vec<u8>>> =
        attach().map(|attach| attach.map(|attach| attach.public_key.to_vec())).collect();
    let session_keys: Vec<Option<Vec<u8>>> =
        attach().map(|attach| attach.and_then(|attach| attach.session_key.clone())).collect();
    let taken = sqlx::query!(
        "INSERT INTO desktop (project_id, desktop_id, computer_name, os_host_name, os_type, ip_address, pool_id,
                              availability_zone, agent_version, agent_tags, time_zone, agent_id, connected_at,
                              certificate_serial, certificate_not_before, certificate_not_after,
                              incarnation, run_id, boot_id, canonical_id, os_version, containment, attach_number, attach_sha256,
                              attach_public_key, session_keys, tags, worker_id, created_at, presence_at, operator_tags)
         -- What an enrolment fixed overrules the agent.
         SELECT new.project_id, new.desktop_id, new.computer_name, new.os_host_name, new.os_type, new.ip_address,
                coalesce(a.pool_id, new.pool_id), coalesce(a.availability_zone, new.availability_zone),
                new.agent_version, new.agent_tags, new.time_zone, new.agent_id, new.connected_at,
                new.certificate_serial, new.certificate_not_before, new.certificate_not_after, new.incarnation,
                new.run_id, new.boot_id, new.canonical_id, new.os_version, new.containment, new.attach_number, new.attach_sha256,
                new.attach_public_key, array_remove(ARRAY[new.session_key], NULL),
                new.agent_tags || coalesce(a.tags, '{}'), $11, $12, $12, coalesce(a.tags, '{}')
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::jsonb[], $13::text[], $14::text[], $15::timestamptz[],
                     $16::text[], $17::timestamptz[], $18::timestamptz[], $19::int8[], $20::text[], $22::text[],
                     $23::text[], $24::text[], $25::int8[], $26::bytea[], $27::bytea[],
                     $28::bytea[], $30::text[])
              AS new (project_id, desktop_id, computer_name, os_host_name, os_type, ip_address, pool_id,
                      availability_zone, agent_version, agent_tags, time_zone, agent_id, connected_at,
                      certificate_serial, certificate_not_before, certificate_not_after, incarnation, run_id,
                      canonical_id, os_version, containment, attach_number, attach_sha256, attach_public_key, session_key,
                      boot_id)
              LEFT JOIN desktop_assignment a ON a.project_id = new.project_id AND a.desktop_id = new.desktop_id
         -- Ids that differ only in case or Unicode form are one desktop.
         WHERE NOT EXISTS (SELECT FROM desktop d WHERE d.project_id = new.project_id
                             AND d.canonical_id = new.canonical_id AND d.desktop_id <> new.desktop_id)
         ORDER BY new.project_id, new.desktop_id
         ON CONFLICT (project_id, desktop_id) DO UPDATE SET
             computer_name = excluded.computer_name, os_host_name = excluded.os_host_name,
             os_type = excluded.os_type, os_version = excluded.os_version, containment = excluded.containment,
             ip_address = excluded.ip_address, pool_id = excluded.pool_id,
             availability_zone = excluded.availability_zone, agent_version = excluded.agent_version,
             agent_tags = excluded.agent_tags, tags = excluded.agent_tags || desktop.operator_tags,
             time_zone = excluded.time_zone, agent_id = excluded.agent_id,
             incarnation = excluded.incarnation, run_id = excluded.run_id, boot_id = excluded.boot_id,
             former_agent_ids = CASE WHEN desktop.agent_id IN ('', excluded.agent_id) THEN desktop.former_agent_ids
                 ELSE (desktop.former_agent_ids || desktop.agent_id)
                     [greatest(1, cardinality(desktop.former_agent_ids) + 2 - $21):] END,
             -- The agent has room, as far as its worker knows.
             full_until = CASE WHEN desktop.run_id <> excluded.run_id THEN NULL
                 WHEN desktop.full_until > $12 THEN $12 ELSE desktop.full_until END,
             connected_at = excluded.connected_at, worker_id = excluded.worker_id,
             certificate_serial = excluded.certificate_serial,
             certificate_not_before = excluded.certificate_not_before,
             certificate_not_after = excluded.certificate_not_after,
             attach_number = excluded.attach_number, attach_sha256 = excluded.attach_sha256,
             attach_public_key = excluded.attach_public_key,
             session_keys = (excluded.session_keys || desktop.session_keys)[:$29],
             -- Set again in this transaction if the certificate is revoked.
             revoked_at = NULL,
             -- The connection that was revoked is replaced by this one.
             revoked_worker_id = NULLIF(desktop.revoked_worker_id, excluded.worker_id),
             presence_at = CASE WHEN desktop.worker_id IS NULL THEN excluded.presence_at ELSE desktop.presence_at END
         -- A worker knows best whom it is connected to itself.
         WHERE desktop.retired_at IS NULL
           AND (desktop.worker_id IS NULL OR desktop.worker_id = excluded.worker_id
                OR desktop.agent_id = excluded.agent_id AND desktop.run_id = excluded.run_id
                   AND (excluded.attach_sha256 IS NOT NULL OR desktop.connected_at <= excluded.connected_at))
           -- A desktop with a signed attach needs one for ever, and no older one of the same agent.
           AND (desktop.attach_sha256 IS NULL
                OR excluded.attach_sha256 IS NOT NULL
                   AND (desktop.agent_id <> excluded.agent_id OR desktop.incarnation < excluded.incarnation
                        OR desktop.incarnation = excluded.incarnation
                           AND (desktop.attach_number < excluded.attach_number
                                OR desktop.attach_sha256 = excluded.attach_sha256)))
           -- An outdated identity; see domain::identity.
           AND (excluded.incarnation = 0
                OR excluded.agent_id <> ALL (desktop.former_agent_ids)
                   AND (desktop.agent_id <> excluded.agent_id OR desktop.incarnation < excluded.incarnation
                        OR desktop.incarnation = excluded.incarnation AND desktop.run_id = excluded.run_id))
         RETURNING project_id, desktop_id",
        &column(|desktop| desktop.project_id.as_str()),
        &column(|desktop| desktop.desktop_id.as_str()),
        &column(|desktop| &desktop.computer_name),
        &column(|desktop| &desktop.os_host_name),
        &column(|desktop| &desktop.os_type),
        &column(|desktop| &desktop.ip_address),
        &column(|desktop| &desktop.pool_id),
        &column(|desktop| &desktop.availability_zone),
        &column(|desktop| &desktop.agent_version),
        &tags,
        worker_id.as_str(),
        now,
        &column(|desktop| &desktop.time_zone),
        &column(|desktop| &desktop.agent_id),
        &connected_at,
        &serials as &[Option<String>],
        &not_before as &[Option<Timestamp>],
        &not_after as &[Option<Timestamp>],
        &incarnations,
        &column(|desktop| &desktop.run_id),
        i32::from(MAX_FORMER_AGENTS),
        &canonical_ids,
        &column(|desktop| &desktop.os_version),
        &containments as &[Option<String>],
        &attach_numbers as &[Option<i64>],
        &attach_hashes as &[Option<Vec<u8>>],
        &public_keys as &[Option<Vec<u8>>],
        &session_keys as &[Option<Vec<u8>>],
        SESSION_KEYS,
        &column(|desktop| &desktop.boot_id),
    )
    .fetch_all(connection)
    .await?;
    let taken: HashSet<(&str, &str)> =
        taken.iter().map(|row| (row.project_id.as_str(), row.desktop_id.as_str())).collect();
    let key = |desktop: &DesktopFacts| (desktop.project_id.clone(), desktop.desktop_id.clone());
    let is_taken =
        |desktop: &&DesktopFacts| taken.contains(&(desktop.project_id.as_str(), desktop.desktop_id.as_str()));
    Ok(all.iter().filter(|desktop| !is_taken(desktop)).map(key).collect())
}

/// Last signed attach of a desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAttach {
    /// Project of the desktop.
    pub project_id: ProjectId,
    /// Id of the desktop.
    pub desktop_id: DesktopId,
    /// SHA-256 of the statement.
    pub sha256: Vec<u8>,
    /// X25519 public key of the scheduler's answer.
    pub public_key: Vec<u8>,
    /// Stored forms of the session keys, latest first.
    pub session_keys: Vec<Vec<u8>>,
}

/// Returns the last signed attaches of these desktops. A desktop is missing if it has never
/// attached with a certificate.
pub async fn last_attaches(
    connection: &mut Connection,
    desktops: &[(ProjectId, DesktopId)],
) -> Result<Vec<LastAttach>, Error> {
    let (project_ids, desktop_ids) = columns(desktops);
    let rows = sqlx::query!(
        r#"SELECT d.project_id, d.desktop_id, d.attach_sha256 AS "sha256!", d.attach_public_key AS "public_key!",
                  d.session_keys
           FROM desktop d JOIN unnest($1::text[], $2::text[]) AS n (project_id, desktop_id)
               USING (project_id, desktop_id)
           WHERE d.attach_sha256 IS NOT NULL AND d.attach_public_key IS NOT NULL"#,
        &project_ids,
        &desktop_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LastAttach {
                project_id: text_id("desktop", row.project_id)?,
                desktop_id: text_id("desktop", row.desktop_id)?,
                sha256: row.sha256,
                public_key: row.public_key,
                session_keys: row.session_keys,
            })
        })
        .collect()
}

/// Splits desktop keys into two arrays for a statement.
pub(crate) fn columns(desktops: &[(ProjectId, DesktopId)]) -> (Vec<String>, Vec<String>) {
    desktops.iter().map(|(project_id, desktop_id)| (project_id.to_string(), desktop_id.to_string())).unzip()
}

/// Stores that a worker lost desktops. A desktop that another worker holds by now keeps that
/// presence.
pub async fn disconnected(
    connection: &mut Connection,
    worker_id: &WorkerId,
    desktops: &[(ProjectId, DesktopId)],
    now: Timestamp,
) -> Result<(), Error> {
    let (project_ids, desktop_ids) = columns(desktops);
    sqlx::query!(
        "UPDATE desktop d SET worker_id = NULL, presence_at = $4
         FROM (SELECT d.project_id, d.desktop_id
               FROM desktop d JOIN unnest($2::text[], $3::text[]) AS gone (project_id, desktop_id)
                   USING (project_id, desktop_id)
               WHERE d.worker_id = $1 ORDER BY project_id, desktop_id FOR UPDATE OF d) AS held
         WHERE d.project_id = held.project_id AND d.desktop_id = held.desktop_id",
        worker_id.as_str(),
        &project_ids,
        &desktop_ids,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE desktop d SET revoked_worker_id = NULL
         FROM (SELECT d.project_id, d.desktop_id
               FROM desktop d JOIN unnest($2::text[], $3::text[]) AS gone (project_id, desktop_id)
                   USING (project_id, desktop_id)
               WHERE d.revoked_worker_id = $1 ORDER BY project_id, desktop_id FOR UPDATE OF d) AS held
         WHERE d.project_id = held.project_id AND d.desktop_id = held.desktop_id",
        worker_id.as_str(),
        &project_ids,
        &desktop_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Clears the presence of all desktops of a worker.
pub async fn worker_gone(
    connection: &mut Connection,
    worker_id: &WorkerId,
    now: Timestamp,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "UPDATE desktop d SET worker_id = NULL, presence_at = $2
         FROM (SELECT project_id, desktop_id FROM desktop WHERE worker_id = $1
               ORDER BY project_id, desktop_id FOR UPDATE) AS held
         WHERE d.project_id = held.project_id AND d.desktop_id = held.desktop_id",
        worker_id.as_str(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    // The worker's connections ended with it, so it has none left to close.
    sqlx::query!(
        "UPDATE desktop d SET revoked_worker_id = NULL
         FROM (SELECT project_id, desktop_id FROM desktop WHERE revoked_worker_id = $1
               ORDER BY project_id, desktop_id FOR UPDATE) AS held
         WHERE d.project_id = held.project_id AND d.desktop_id = held.desktop_id",
        worker_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The last accepted connection of the desktop that a refused claim names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Project of the desktop.
    pub project_id: ProjectId,
    /// Id in the claim.
    pub claimed_id: DesktopId,
    /// Id of the stored desktop. It differs from the claim in case or Unicode form at most.
    pub desktop_id: DesktopId,
    /// Connection of the stored desktop.
    pub holder: Holder,
    /// Whether the desktop has attached with a certificate, so that it always needs one.
    pub is_certified: bool,
}

/// Reads the last accepted connections of the desktops that these claims name.
pub async fn holdings(connection: &mut Connection, claims: &[&DesktopFacts]) -> Result<Vec<Holding>, Error> {
    let column = |field: fn(&DesktopFacts) -> String| -> Vec<String> {
        claims.iter().map(|claim| field(claim)).collect()
    };
    let rows = sqlx::query!(
        r#"SELECT d.project_id, c.desktop_id AS "claimed_id!", d.desktop_id, d.agent_id, d.incarnation, d.run_id,
                  d.os_host_name, d.ip_address, d.worker_id IS NOT NULL AS "is_connected!",
                  c.agent_id = ANY (d.former_agent_ids) AS "has_replaced_claimant!",
                  d.attach_sha256 IS NOT NULL AS "is_certified!"
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                AS c (project_id, desktop_id, canonical_id, agent_id)
           JOIN desktop d ON d.project_id = c.project_id AND d.canonical_id = c.canonical_id"#,
        &column(|claim| claim.project_id.to_string()),
        &column(|claim| claim.desktop_id.to_string()),
        &column(|claim| claim.desktop_id.canonical()),
        &column(|claim| claim.agent_id.clone()),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Holding {
                project_id: text_id("desktop", row.project_id)?,
                claimed_id: text_id("desktop", row.claimed_id)?,
                desktop_id: text_id("desktop", row.desktop_id)?,
                holder: Holder {
                    identity: AgentIdentity {
                        agent_id: row.agent_id,
                        incarnation: count("desktop", row.incarnation)?,
                        run_id: row.run_id,
                    },
                    is_connected: row.is_connected,
                    has_replaced_claimant: row.has_replaced_claimant,
                    os_host_name: row.os_host_name,
                    ip_address: row.ip_address,
                },
                is_certified: row.is_certified,
            })
        })
        .collect()
}

/// Stores that desktops of a worker have no room for orders before `until`. Each desktop is named
/// with a task of its project. The next connection that the worker reports ends that.
pub async fn set_full(
    connection: &mut Connection,
    worker_id: &WorkerId,
    desktops: &[(TaskId, DesktopId)],
    until: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE desktop d SET full_until = $4
         FROM (SELECT d.project_id, d.desktop_id FROM desktop d
               WHERE d.worker_id = $1 AND (d.project_id, d.desktop_id) IN (
                   SELECT k.project_id, n.desktop_id
                   FROM unnest($2::uuid[], $3::text[]) AS n (task_id, desktop_id) JOIN task k USING (task_id))
               ORDER BY project_id, desktop_id FOR UPDATE) AS held
         WHERE d.project_id = held.project_id AND d.desktop_id = held.desktop_id",
        worker_id.as_str(),
        &desktops.iter().map(|(task_id, _)| task_id.0).collect::<Vec<Uuid>>(),
        &desktops.iter().map(|(_, desktop_id)| desktop_id.to_string()).collect::<Vec<_>>(),
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}
