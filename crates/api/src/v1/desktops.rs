//! Desktops: properties, tags, and whether they are in service.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::Path};
use control::{Actor, AgentAge, DesktopFilter, DesktopRow, Retired, finished};
use domain::{
    Error,
    containment::Containment,
    ids::{DesktopId, WorkerId},
    tags::TagChange,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, PageQuery},
    time,
};
use crate::{
    dto::{Project, non_empty},
    error::ApiError,
    extract::{Authorized, Body, Parameters, query},
};

/// One page of desktops.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeDesktops {
    desktops: Vec<NativeDesktop>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// Whether the agent of a desktop is connected; the values are those of `/v2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Presence {
    /// The agent is connected.
    Active,
    /// The agent is disconnected.
    Shutoff,
}

/// A desktop: properties reported by its agent and settings made by operators.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeDesktop {
    desktop_id: String,
    computer_name: String,
    os_host_name: String,
    /// Operating system: Linux, Windows or macOS.
    os_type: String,
    /// Name, version and kernel of the operating system.
    os_version: Option<String>,
    /// How the agent tracks the processes of scripts: CGROUP, JOB or MARK.
    containment: Option<&'static str>,
    ip_address: Option<String>,
    desktop_pool_id: Option<String>,
    availability_zone: Option<String>,
    /// IANA time zone, such as `Europe/Berlin`.
    time_zone: Option<String>,
    agent_version: String,
    /// Tags set by the agent and by operators. Tags of operators take precedence.
    tags: BTreeMap<String, String>,
    /// Tags set by operators.
    operator_tags: BTreeMap<String, String>,
    status: Presence,
    connected: bool,
    /// Worker that the agent is connected to; `null` while disconnected.
    worker_id: Option<String>,
    /// Time of the last connect or disconnect.
    #[schema(format = DateTime)]
    presence_time: String,
    /// Time of the first connect.
    #[schema(format = DateTime)]
    create_time: String,
    /// Time of retirement; `null` while the desktop is in service.
    #[schema(format = DateTime)]
    retire_time: Option<String>,
    /// Principal that retired the desktop.
    retired_by: Option<String>,
}

impl From<DesktopRow> for NativeDesktop {
    fn from(row: DesktopRow) -> Self {
        let connected = row.worker_id.is_some();
        let (retired_at, retired_by) = row.retired.unzip();
        let facts = row.facts;
        Self {
            desktop_id: facts.desktop_id.into_string(),
            computer_name: facts.computer_name,
            os_host_name: facts.os_host_name,
            os_type: facts.os_type,
            os_version: non_empty(facts.os_version),
            containment: facts.containment.map(Containment::as_str),
            ip_address: non_empty(facts.ip_address),
            desktop_pool_id: non_empty(facts.pool_id),
            availability_zone: non_empty(facts.availability_zone),
            time_zone: non_empty(facts.time_zone),
            agent_version: facts.agent_version,
            tags: facts.tags,
            operator_tags: row.operator_tags,
            status: if connected { Presence::Active } else { Presence::Shutoff },
            connected,
            worker_id: row.worker_id.map(WorkerId::into_string),
            presence_time: time(row.presence_at),
            create_time: time(row.created_at),
            retire_time: retired_at.map(time),
            retired_by,
        }
    }
}

// Documents the format; `tags` below parses it.
/// A required tag in the form `key=value`, such as `team=finance`.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, pattern = "^[^=]+=")]
#[expect(dead_code, reason = "documents a parameter")]
pub(crate) struct TagFilter(String);

/// Whether lists include retired desktops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum RetiredToo {
    /// Retired desktops and those in service.
    Included,
    /// Only retired desktops.
    Only,
}

/// Filters of desktops. A desktop must match all of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only desktops whose ids start with this prefix.
    desktop_id_prefix: Option<String>,
    /// Only desktops with this tag, `key=value`. Repeat the parameter to require several tags.
    #[param(value_type = Vec<TagFilter>)]
    tag: Vec<String>,
    /// Only desktops of these pools.
    desktop_pool_id: Vec<String>,
    /// Only desktops with this operating system.
    os_type: Option<String>,
    /// Only desktops in this availability zone.
    availability_zone: Option<String>,
    /// Only desktops whose agent has one of these versions.
    agent_version: Vec<String>,
    /// Only desktops whose agent is older than this version. Agents without a semantic version do
    /// not match.
    agent_older_than: Option<String>,
    /// Only desktops whose agent is older than the control plane. Excludes `agent_older_than`.
    outdated: bool,
    /// Only desktops with this status.
    status: Option<Presence>,
    /// Include retired desktops, or only those; excluded by default.
    retired: Option<RetiredToo>,
}

impl ListQuery {
    pub(super) fn filter(self) -> Result<(DesktopFilter, Option<AgentAge>), Error> {
        let than = query::text(self.agent_older_than);
        let age = AgentAge::read(("outdated", self.outdated), ("agent_older_than", than.as_deref()))?;
        let filter = DesktopFilter {
            id_prefix: query::text(self.desktop_id_prefix),
            pool_ids: query::texts(self.desktop_pool_id),
            os_type: query::text(self.os_type),
            availability_zone: query::text(self.availability_zone),
            agent_versions: query::texts(self.agent_version),
            tags: tags(self.tag)?,
            connected: self.status.map(|status| status == Presence::Active),
            retired: match self.retired {
                None => Retired::Excluded,
                Some(RetiredToo::Included) => Retired::Included,
                Some(RetiredToo::Only) => Retired::Only,
            },
            ..DesktopFilter::default()
        };
        Ok((filter, age))
    }
}

/// Parses `key=value` filters. A value may contain `=` and `,`.
fn tags(pairs: Vec<String>) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = BTreeMap::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::invalid("tag", "must be key=value; repeat the parameter for each further tag")
        })?;
        let before = tags.insert(key.to_owned(), value.to_owned());
        if before.is_some_and(|before| before != value) {
            let message = format!("two values of {key:?}; a desktop has one value per key");
            return Err(Error::invalid("tag", message));
        }
    }
    Ok(tags)
}

/// List desktops by id. Retired desktops are included only on request.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/desktops", operation_id = "ListKnownDesktops", tag = "native",
    params(Project, PageQuery, ListQuery),
    responses((status = 200, description = "One page.", body = NativeDesktops)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(page): Parameters<PageQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<NativeDesktops>, ApiError> {
    let (size, last) = page.read()?;
    let (filter, age) = query.filter()?;
    let filter = DesktopFilter { after: last.map(DesktopId::into_string), ..filter };
    let found = control.page_desktops(&caller, &filter, age.as_ref(), size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.facts.desktop_id.to_string());
    Ok(Json(NativeDesktops {
        desktops: found.into_iter().map(NativeDesktop::from).collect(),
        next_page_token,
    }))
}

/// Path parameter with a desktop id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DesktopPath {
    /// Desktop id.
    desktop_id: String,
}

impl DesktopPath {
    /// Parses the id. A malformed id yields the same error as an unknown desktop.
    fn id(&self) -> Result<DesktopId, Error> {
        DesktopId::find(&self.desktop_id)
    }
}

/// Show a desktop, retired or not.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/desktops/{desktop_id}", operation_id = "GetDesktop", tag = "native",
    params(Project, DesktopPath),
    responses((status = 200, description = "The desktop.", body = NativeDesktop)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
) -> Result<Json<NativeDesktop>, ApiError> {
    Ok(Json(control.show_desktop(&caller, &path.id()?).await?.into()))
}

/// Result of a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedDesktop {
    desktop_id: String,
    /// Number of revoked certificates from enrolment. Certificates issued by hand are refused as
    /// well, but not counted.
    certificates: u64,
    /// Whether the desktop was connected with a certificate. The server closes such a connection.
    was_connected: bool,
}

/// Revoke all certificates of a desktop and close its connection.
///
/// The desktop receives no work until it enrols with a token created after the revocation.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/desktops/{desktop_id}/revoke", operation_id = "RevokeDesktop",
    tag = "native", params(Project, DesktopPath),
    responses((status = 200, description = "The certificates are revoked.", body = RevokedDesktop)),
)]
pub(crate) async fn revoke(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
) -> Result<Json<RevokedDesktop>, ApiError> {
    let desktop_id = path.id()?;
    let revoked = finished(async move {
        let revoked = control.revoke_desktop(Actor::Caller(&caller), &desktop_id).await?;
        Ok(RevokedDesktop {
            desktop_id: desktop_id.into_string(),
            certificates: revoked.certificates,
            was_connected: revoked.was_connected,
        })
    })
    .await?;
    Ok(Json(revoked))
}

/// Changes of the operators' tags of a desktop. Other tags keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagRequest {
    /// Tags to create or replace. A name has 1 to 256 characters without `=` and `,`; a value has
    /// at most 256. Control characters are not allowed. A desktop has at most 50 operators' tags.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Names of operators' tags to remove. Absent names are ignored. An agent's tag of the same
    /// name applies again. A tag set only by the agent cannot be removed; override it with `set`.
    #[serde(default)]
    #[schema(max_items = 50)]
    remove: BTreeSet<String>,
}

/// Set and remove operators' tags of a desktop.
///
/// They take precedence over the agent's tags and survive reconnects.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/desktops/{desktop_id}/tags", operation_id = "TagDesktop", tag = "native",
    params(Project, DesktopPath), request_body = TagRequest,
    responses((status = 200, description = "The changed desktop.", body = NativeDesktop)),
)]
pub(crate) async fn tag(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
    Body(request): Body<TagRequest>,
) -> Result<Json<NativeDesktop>, ApiError> {
    let desktop_id = path.id()?;
    let change = TagChange { set: request.set, remove: request.remove };
    let row = finished(async move { control.tag_desktop(&caller, &desktop_id, &change).await }).await?;
    Ok(Json(row.into()))
}

/// Take a desktop out of service.
///
/// The desktop is no longer listed or chosen for new tasks, its certificates are revoked, and its
/// connection is closed. Its agent is refused until the desktop is unretired. Its past records stay
/// readable.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/desktops/{desktop_id}/retire", operation_id = "RetireDesktop",
    tag = "native", params(Project, DesktopPath),
    responses((status = 200, description = "The retired desktop.", body = NativeDesktop)),
)]
pub(crate) async fn retire(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
) -> Result<Json<NativeDesktop>, ApiError> {
    let desktop_id = path.id()?;
    let row = finished(async move { control.retire_desktop(&caller, &desktop_id).await }).await?;
    Ok(Json(row.into()))
}

/// Return a retired desktop to service. Its certificates stay revoked: with TLS it must enrol
/// again.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/desktops/{desktop_id}/retire", operation_id = "UnretireDesktop",
    tag = "native", params(Project, DesktopPath),
    responses((status = 200, description = "The desktop in service.", body = NativeDesktop)),
)]
pub(crate) async fn unretire(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
) -> Result<Json<NativeDesktop>, ApiError> {
    let desktop_id = path.id()?;
    let row = finished(async move { control.unretire_desktop(&caller, &desktop_id).await }).await?;
    Ok(Json(row.into()))
}
