//! Desktops and their presence. Presence is written in bulk, on change.

mod lifecycle;

use std::collections::{BTreeMap, HashSet};

use domain::{
    Timestamp,
    desktop::{Certificate, DesktopFacts, Stratum},
    ids::{DesktopId, ProjectId, WorkerId},
    page::Page,
    plan::Candidate,
    tags::Tags,
};
use sqlx::{Postgres, QueryBuilder, types::Json};

pub use self::lifecycle::{
    StoredTags, disconnect, lock_tags, put_operator_tags, retire, retired_among, unretire,
};
use crate::{Connection, Error, codec::text_id};

/// A desktop in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesktopRow {
    /// Attributes that its agent reported. The tags are the effective ones: operator tags over
    /// agent tags.
    pub facts: DesktopFacts,
    /// Tags that operators set.
    pub operator_tags: Tags,
    /// Time and actor of the retirement; `None` for a desktop in service.
    pub retired: Option<(Timestamp, String)>,
    /// Worker that holds its connection; `None` while it is offline.
    pub worker_id: Option<WorkerId>,
    /// Time of the first connection.
    pub created_at: Timestamp,
    /// Time at which it last connected or disconnected.
    pub presence_at: Timestamp,
}

/// Selects desktops by whether they are retired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retired {
    /// Only desktops in service.
    #[default]
    Excluded,
    /// Desktops in service and retired ones.
    Included,
    /// Only retired desktops.
    Only,
}

/// Filters of the list. All of them match exactly.
#[derive(Debug, Clone, Default)]
pub struct DesktopFilter {
    /// Only these ids; empty for all.
    pub desktop_ids: Vec<String>,
    /// Only ids with this prefix.
    pub id_prefix: Option<String>,
    /// Only desktops with one of these computer names; empty for all.
    pub computer_names: Vec<String>,
    /// Only desktops with this IP address.
    pub ip_address: Option<String>,
    /// Only desktops of one of these pools; empty for all.
    pub pool_ids: Vec<String>,
    /// Only desktops with this operating system.
    pub os_type: Option<String>,
    /// Only desktops in this availability zone.
    pub availability_zone: Option<String>,
    /// Only desktops whose agent has this version.
    pub agent_version: Option<String>,
    /// Only desktops with all of these tags.
    pub tags: BTreeMap<String, String>,
    /// Only desktops without any tag.
    pub without_any_tag: bool,
    /// Only connected (`true`) or disconnected (`false`) desktops.
    pub connected: Option<bool>,
    /// Whether retired desktops are included.
    pub retired: Retired,
    /// Only desktops after this id in the order of ids.
    pub after: Option<String>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DesktopOrder {
    /// By id, ascending.
    #[default]
    Id,
    /// By computer name, ascending.
    Name,
    /// By computer name, descending.
    NameDescending,
    /// By first connection, oldest first.
    Created,
    /// By first connection, newest first.
    CreatedDescending,
}

impl DesktopOrder {
    const fn clause(self) -> &'static str {
        match self {
            Self::Id => " ORDER BY desktop_id",
            Self::Name => " ORDER BY computer_name, desktop_id",
            Self::NameDescending => " ORDER BY computer_name DESC, desktop_id DESC",
            Self::Created => " ORDER BY created_at, desktop_id",
            Self::CreatedDescending => " ORDER BY created_at DESC, desktop_id DESC",
        }
    }
}

/// Reads the attributes that planning needs of the existing desktops, in no particular order. The
/// flag reports whether a desktop is retired.
pub async fn candidates(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_ids: &[DesktopId],
) -> Result<Vec<(Candidate, bool)>, Error> {
    let ids: Vec<String> = desktop_ids.iter().map(|id| id.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT desktop_id, os_type, pool_id, availability_zone, retired_at IS NOT NULL AS "is_retired!"
           FROM desktop WHERE project_id = $1 AND desktop_id = ANY($2)"#,
        project_id.as_str(),
        &ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let desktop_id = text_id("desktop", row.desktop_id)?;
            let stratum = Stratum {
                os_type: row.os_type,
                pool_id: row.pool_id,
                availability_zone: row.availability_zone,
            };
            Ok((Candidate { desktop_id, stratum }, row.is_retired))
        })
        .collect()
}

/// Returns the offline desktops among the given ones, in the given order.
pub async fn offline(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_ids: &[DesktopId],
) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = desktop_ids.iter().map(|id| id.as_str().to_owned()).collect();
    Ok(sqlx::query_scalar!(
        r#"SELECT n.desktop_id AS "desktop_id!"
           FROM unnest($2::text[]) WITH ORDINALITY AS n (desktop_id, place)
           JOIN desktop d ON d.project_id = $1 AND d.desktop_id = n.desktop_id
           LEFT JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
           WHERE w.worker_id IS NULL ORDER BY n.place"#,
        project_id.as_str(),
        &ids,
    )
    .fetch_all(connection)
    .await?)
}

/// Reads the attributes that planning needs of the desktops that match a filter, by id; at most
/// `limit`.
pub async fn find(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &DesktopFilter,
    limit: i64,
) -> Result<Vec<Candidate>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT desktop_id, os_type, pool_id, availability_zone FROM desktop WHERE project_id = ",
    );
    push_filter(&mut query, project_id, filter);
    query.push(" ORDER BY desktop_id LIMIT ").push_bind(limit);
    let rows: Vec<(String, String, String, String)> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter()
        .map(|(desktop_id, os_type, pool_id, availability_zone)| {
            let desktop_id = text_id("desktop", desktop_id)?;
            Ok(Candidate { desktop_id, stratum: Stratum { os_type, pool_id, availability_zone } })
        })
        .collect()
}

/// Stores the desktops that a worker now holds: inserts new ones and updates known ones. A desktop
/// that moves from another worker keeps its connection time. Operator tags stay and take
/// precedence.
///
/// Returns the refused desktops. A desktop is refused if it is retired (see [`retired_among`]). It
/// is also refused if another worker holds a connection to another agent, or a newer one to the
/// same agent.
pub async fn connected(
    connection: &mut Connection,
    worker_id: &WorkerId,
    desktops: &[DesktopFacts],
    now: Timestamp,
) -> Result<Vec<(ProjectId, DesktopId)>, Error> {
    let column = |field: fn(&DesktopFacts) -> &str| -> Vec<String> {
        desktops.iter().map(|desktop| field(desktop).to_owned()).collect()
    };
    let tags: Vec<serde_json::Value> =
        desktops.iter().map(|desktop| serde_json::json!(desktop.tags)).collect();
    let connected_at: Vec<Timestamp> = desktops.iter().map(|desktop| desktop.connected_at).collect();
    let shown = || desktops.iter().map(|desktop| desktop.certificate.as_ref());
    let serials: Vec<Option<String>> = shown().map(|shown| shown.map(|it| it.serial.clone())).collect();
    let not_before: Vec<Option<Timestamp>> = shown().map(|shown| shown.map(|it| it.not_before)).collect();
    let not_after: Vec<Option<Timestamp>> = shown().map(|shown| shown.map(|it| it.not_after)).collect();
    let taken = sqlx::query!(
        "INSERT INTO desktop (project_id, desktop_id, computer_name, os_host_name, os_type, ip_address, pool_id,
                              availability_zone, agent_version, agent_tags, time_zone, agent_id, connected_at,
                              certificate_serial, certificate_not_before, certificate_not_after,
                              tags, worker_id, created_at, presence_at)
         SELECT *, agent_tags, $11, $12, $12
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::jsonb[], $13::text[], $14::text[], $15::timestamptz[],
                     $16::text[], $17::timestamptz[], $18::timestamptz[])
              AS new (project_id, desktop_id, computer_name, os_host_name, os_type, ip_address, pool_id,
                      availability_zone, agent_version, agent_tags)
         ORDER BY new.project_id, new.desktop_id
         ON CONFLICT (project_id, desktop_id) DO UPDATE SET
             computer_name = excluded.computer_name, os_host_name = excluded.os_host_name,
             os_type = excluded.os_type, ip_address = excluded.ip_address, pool_id = excluded.pool_id,
             availability_zone = excluded.availability_zone, agent_version = excluded.agent_version,
             agent_tags = excluded.agent_tags, tags = excluded.agent_tags || desktop.operator_tags,
             time_zone = excluded.time_zone, agent_id = excluded.agent_id,
             connected_at = excluded.connected_at, worker_id = excluded.worker_id,
             certificate_serial = excluded.certificate_serial,
             certificate_not_before = excluded.certificate_not_before,
             certificate_not_after = excluded.certificate_not_after,
             -- The connection that was revoked is replaced by this one.
             revoked_worker_id = NULLIF(desktop.revoked_worker_id, excluded.worker_id),
             presence_at = CASE WHEN desktop.worker_id IS NULL THEN excluded.presence_at ELSE desktop.presence_at END
         -- A worker knows best whom it is connected to itself.
         WHERE desktop.retired_at IS NULL
           AND (desktop.worker_id IS NULL OR desktop.worker_id = excluded.worker_id
                OR desktop.agent_id = excluded.agent_id AND desktop.connected_at <= excluded.connected_at)
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
    )
    .fetch_all(connection)
    .await?;
    let taken: HashSet<(&str, &str)> =
        taken.iter().map(|row| (row.project_id.as_str(), row.desktop_id.as_str())).collect();
    let key = |desktop: &DesktopFacts| (desktop.project_id.clone(), desktop.desktop_id.clone());
    let is_taken =
        |desktop: &&DesktopFacts| taken.contains(&(desktop.project_id.as_str(), desktop.desktop_id.as_str()));
    Ok(desktops.iter().filter(|desktop| !is_taken(desktop)).map(key).collect())
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

/// Columns of a desktop in a list.
const LISTED: &str =
    "SELECT project_id, desktop_id, computer_name, os_host_name, os_type, ip_address, pool_id, availability_zone,
            agent_version, tags, time_zone, agent_id, connected_at, certificate_serial, certificate_not_before,
            certificate_not_after, worker_id, created_at, presence_at, operator_tags, retired_at, retired_by
     FROM desktop WHERE project_id = ";

/// Lists one page of desktops, with the total number.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &DesktopFilter,
    order: DesktopOrder,
    page: Page,
) -> Result<(i64, Vec<DesktopRow>), Error> {
    let mut counting = QueryBuilder::<Postgres>::new("SELECT count(*) FROM desktop WHERE project_id = ");
    push_filter(&mut counting, project_id, filter);
    let count: i64 = counting.build_query_scalar().fetch_one(&mut *connection).await?;

    let mut listing = QueryBuilder::<Postgres>::new(LISTED);
    push_filter(&mut listing, project_id, filter);
    listing
        .push(order.clause())
        .push(" OFFSET ")
        .push_bind(page.offset)
        .push(" LIMIT ")
        .push_bind(page.limit);
    let rows: Vec<Listed> = listing.build_query_as().fetch_all(connection).await?;
    Ok((count, rows.into_iter().map(DesktopRow::try_from).collect::<Result<_, _>>()?))
}

/// Lists at most `limit` desktops by id. The filter contains the start position.
pub async fn page(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &DesktopFilter,
    limit: i64,
) -> Result<Vec<DesktopRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(LISTED);
    push_filter(&mut query, project_id, filter);
    query.push(DesktopOrder::Id.clause()).push(" LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(DesktopRow::try_from).collect()
}

fn push_filter(query: &mut QueryBuilder<Postgres>, project_id: &ProjectId, filter: &DesktopFilter) {
    query.push_bind(project_id.as_str().to_owned());
    if !filter.desktop_ids.is_empty() {
        query.push(" AND desktop_id = ANY(").push_bind(filter.desktop_ids.clone()).push(")");
    }
    if let Some(prefix) = &filter.id_prefix {
        query.push(" AND starts_with(desktop_id, ").push_bind(prefix.clone()).push(")");
    }
    if !filter.computer_names.is_empty() {
        query.push(" AND computer_name = ANY(").push_bind(filter.computer_names.clone()).push(")");
    }
    if let Some(address) = &filter.ip_address {
        query.push(" AND ip_address = ").push_bind(address.clone());
    }
    if !filter.pool_ids.is_empty() {
        query.push(" AND pool_id = ANY(").push_bind(filter.pool_ids.clone()).push(")");
    }
    if !filter.tags.is_empty() {
        query.push(" AND tags @> ").push_bind(Json(filter.tags.clone()));
    }
    if let Some(os_type) = &filter.os_type {
        query.push(" AND os_type = ").push_bind(os_type.clone());
    }
    if let Some(zone) = &filter.availability_zone {
        query.push(" AND availability_zone = ").push_bind(zone.clone());
    }
    if let Some(version) = &filter.agent_version {
        query.push(" AND agent_version = ").push_bind(version.clone());
    }
    if filter.without_any_tag {
        query.push(" AND tags = '{}'::jsonb");
    }
    match filter.retired {
        Retired::Excluded => drop(query.push(" AND retired_at IS NULL")),
        Retired::Included => {}
        Retired::Only => drop(query.push(" AND retired_at IS NOT NULL")),
    }
    if let Some(after) = &filter.after {
        query.push(" AND desktop_id > ").push_bind(after.clone());
    }
    if let Some(connected) = filter.connected {
        query.push(if connected { " AND worker_id IS NOT NULL" } else { " AND worker_id IS NULL" });
    }
}

/// Combines the three certificate columns, which are either all set or all NULL.
pub(crate) fn certificate(
    serial: Option<String>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
) -> Option<Certificate> {
    let ((serial, not_before), not_after) = serial.zip(not_before).zip(not_after)?;
    Some(Certificate { serial, not_before, not_after })
}

#[derive(sqlx::FromRow)]
struct Listed {
    project_id: String,
    desktop_id: String,
    computer_name: String,
    os_host_name: String,
    os_type: String,
    ip_address: String,
    pool_id: String,
    availability_zone: String,
    agent_version: String,
    tags: Json<BTreeMap<String, String>>,
    time_zone: String,
    agent_id: String,
    connected_at: Timestamp,
    certificate_serial: Option<String>,
    certificate_not_before: Option<Timestamp>,
    certificate_not_after: Option<Timestamp>,
    worker_id: Option<String>,
    created_at: Timestamp,
    presence_at: Timestamp,
    operator_tags: Json<Tags>,
    retired_at: Option<Timestamp>,
    retired_by: Option<String>,
}

impl TryFrom<Listed> for DesktopRow {
    type Error = Error;

    fn try_from(row: Listed) -> Result<Self, Error> {
        Ok(Self {
            facts: DesktopFacts {
                project_id: text_id("desktop", row.project_id)?,
                desktop_id: text_id("desktop", row.desktop_id)?,
                computer_name: row.computer_name,
                os_host_name: row.os_host_name,
                os_type: row.os_type,
                ip_address: row.ip_address,
                pool_id: row.pool_id,
                availability_zone: row.availability_zone,
                agent_version: row.agent_version,
                tags: row.tags.0,
                time_zone: row.time_zone,
                agent_id: row.agent_id,
                connected_at: row.connected_at,
                certificate: certificate(
                    row.certificate_serial,
                    row.certificate_not_before,
                    row.certificate_not_after,
                ),
            },
            worker_id: row.worker_id.map(|id| text_id("desktop", id)).transpose()?,
            created_at: row.created_at,
            presence_at: row.presence_at,
            operator_tags: row.operator_tags.0,
            retired: row.retired_at.zip(row.retired_by),
        })
    }
}
