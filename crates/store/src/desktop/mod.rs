//! Desktops: their attributes and lists.

mod assignment;
mod connection;
mod lifecycle;
mod place;
mod version;

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    desktop::{Certificate, DesktopFacts, Stratum},
    ids::{DesktopId, ProjectId, WorkerId},
    page::Page,
    plan::Candidate,
    tags::Tags,
};
use sqlx::{Postgres, QueryBuilder, types::Json};

pub use self::assignment::assign;
pub(crate) use self::connection::columns;
pub use self::connection::{
    Holding, LastAttach, connected, disconnected, holdings, last_attaches, set_full, worker_gone,
};
pub use self::lifecycle::{
    StoredTags, disconnect, lock_tags, put_operator_tags, retire, retired_among, unretire,
};
pub(crate) use self::place::{changed_projects, fold, repair};
pub use self::version::agent_versions;
use crate::{
    Connection, Error,
    codec::{count, text_id, word},
    project_count,
};

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
    /// Only desktops whose agent has one of these versions; empty for all.
    pub agent_versions: Vec<String>,
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

impl DesktopFilter {
    /// Returns whether the filter matches all desktops in service, or all of one presence.
    fn is_of_presence(&self) -> bool {
        let Self { desktop_ids, id_prefix, computer_names, ip_address, pool_ids, os_type, .. } = self;
        let Self {
            availability_zone,
            agent_versions,
            tags,
            without_any_tag,
            retired,
            after,
            connected: _,
            ..
        } = self;
        let lists = [desktop_ids, computer_names, pool_ids, agent_versions];
        let texts = [id_prefix, ip_address, os_type, availability_zone, after];
        lists.iter().all(|list| list.is_empty())
            && texts.iter().all(|text| text.is_none())
            && tags.is_empty()
            && !without_any_tag
            && *retired == Retired::Excluded
    }
}

impl DesktopOrder {
    const fn is_descending(self) -> bool {
        matches!(self, Self::NameDescending | Self::CreatedDescending)
    }

    /// Returns the order by the same columns from the smallest key on.
    const fn ascending(self) -> Self {
        match self {
            Self::Id => Self::Id,
            Self::Name | Self::NameDescending => Self::Name,
            Self::Created | Self::CreatedDescending => Self::Created,
        }
    }

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
        r#"SELECT d.desktop_id, d.os_type, d.pool_id, d.availability_zone, d.retired_at IS NOT NULL AS "is_retired!",
                  w.worker_id IS NOT NULL AS "is_connected!"
           FROM desktop d LEFT JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
           WHERE d.project_id = $1 AND d.desktop_id = ANY($2)"#,
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
            Ok((Candidate { desktop_id, stratum, is_connected: row.is_connected }, row.is_retired))
        })
        .collect()
}

/// Lists the ids of the desktops that match a filter, in order; at most `limit`.
pub async fn find(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &DesktopFilter,
    limit: i64,
) -> Result<Vec<DesktopId>, Error> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT desktop_id FROM desktop WHERE project_id = ");
    push_filter(&mut query, project_id, filter);
    query.push(" ORDER BY desktop_id LIMIT ").push_bind(limit);
    let ids: Vec<String> = query.build_query_scalar().fetch_all(connection).await?;
    ids.into_iter().map(|desktop_id| text_id("desktop", desktop_id)).collect()
}

/// Columns of a desktop in a list.
const LISTED: &str =
    "SELECT project_id, desktop_id, computer_name, os_host_name, os_type, ip_address, pool_id, availability_zone,
            agent_version, os_version, containment, tags, time_zone, agent_id, incarnation, run_id, boot_id, connected_at, certificate_serial, certificate_not_before,
            certificate_not_after, worker_id, created_at, presence_at, operator_tags, retired_at, retired_by
     FROM desktop WHERE project_id = ";

/// Lists one page of desktops, with the total number. Both are of the same moment in a
/// [`snapshot`](crate::snapshot).
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &DesktopFilter,
    order: DesktopOrder,
    page: Page,
) -> Result<(i64, Vec<DesktopRow>), Error> {
    let total = total(connection, project_id, filter).await?;
    // Few steps are faster than a look at the marks.
    if page.offset >= place::DESKTOPS_PER_MARK && filter.is_of_presence() && filter.connected.is_none() {
        return Ok((total, deep_page(connection, project_id, order, total, page).await?));
    }
    if page.offset >= total {
        return Ok((total, Vec::new()));
    }
    let mut listing = QueryBuilder::<Postgres>::new(LISTED);
    push_filter(&mut listing, project_id, filter);
    listing.push(order.clause()).push(" OFFSET ").push_bind(page.offset);
    listing.push(" LIMIT ").push_bind(page.limit);
    let rows: Vec<Listed> = listing.build_query_as().fetch_all(connection).await?;
    Ok((total, rows.into_iter().map(DesktopRow::try_from).collect::<Result<_, _>>()?))
}

/// Counts the desktops that match a filter: from maintained numbers if only presence matters.
async fn total(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &DesktopFilter,
) -> Result<i64, Error> {
    if !filter.is_of_presence() {
        let mut counting = QueryBuilder::<Postgres>::new("SELECT count(*) FROM desktop WHERE project_id = ");
        push_filter(&mut counting, project_id, filter);
        return Ok(counting.build_query_scalar().fetch_one(connection).await?);
    }
    let Some(is_connected) = filter.connected else { return place::total(connection, project_id).await };
    let connected = project_count::connected_desktops(connection, project_id).await?;
    if is_connected { Ok(connected) } else { Ok(place::total(connection, project_id).await? - connected) }
}

/// Lists one page of all desktops in service, from the mark before it.
async fn deep_page(
    connection: &mut Connection,
    project_id: &ProjectId,
    order: DesktopOrder,
    total: i64,
    page: Page,
) -> Result<Vec<DesktopRow>, Error> {
    let limit = page.limit.min(total - page.offset);
    if limit <= 0 {
        return Ok(Vec::new());
    }
    let offset = if order.is_descending() { total - page.offset - limit } else { page.offset };
    let start = place::start(connection, project_id, order, offset).await?;
    let mut listing = QueryBuilder::<Postgres>::new(LISTED);
    push_filter(&mut listing, project_id, &DesktopFilter::default());
    if let Some(start) = &start {
        place::push_start(&mut listing, order, start);
    }
    listing.push(order.ascending().clause()).push(" OFFSET ");
    listing.push_bind(start.map_or(offset, |start| start.skip)).push(" LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = listing.build_query_as().fetch_all(connection).await?;
    let mut rows: Vec<DesktopRow> = rows.into_iter().map(DesktopRow::try_from).collect::<Result<_, _>>()?;
    if order.is_descending() {
        rows.reverse();
    }
    Ok(rows)
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
    if !filter.agent_versions.is_empty() {
        query.push(" AND agent_version = ANY(").push_bind(filter.agent_versions.clone()).push(")");
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
    os_version: String,
    containment: Option<String>,
    ip_address: String,
    pool_id: String,
    availability_zone: String,
    agent_version: String,
    tags: Json<BTreeMap<String, String>>,
    time_zone: String,
    agent_id: String,
    incarnation: i64,
    run_id: String,
    boot_id: String,
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
                os_version: row.os_version,
                containment: row.containment.map(|text| word("desktop", &text)).transpose()?,
                ip_address: row.ip_address,
                pool_id: row.pool_id,
                availability_zone: row.availability_zone,
                agent_version: row.agent_version,
                tags: row.tags.0,
                time_zone: row.time_zone,
                agent_id: row.agent_id,
                incarnation: count("desktop", row.incarnation)?,
                run_id: row.run_id,
                boot_id: row.boot_id,
                connected_at: row.connected_at,
                certificate: certificate(
                    row.certificate_serial,
                    row.certificate_not_before,
                    row.certificate_not_after,
                ),
                attach: None,
            },
            worker_id: row.worker_id.map(|id| text_id("desktop", id)).transpose()?,
            created_at: row.created_at,
            presence_at: row.presence_at,
            operator_tags: row.operator_tags.0,
            retired: row.retired_at.zip(row.retired_by),
        })
    }
}
