//! ListDesktops of the compatible family.

use std::collections::BTreeMap;

use axum::Json;
use control::{DesktopFilter, DesktopOrder, DesktopRow};
use domain::{Error, authz::Action, desktop::parse_tags, page::DESKTOP_LIST};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    dto::{OffsetQuery, Project, non_empty},
    error::ApiError,
    extract::{Authorized, Parameters, query},
};

/// Published limit of the repeated parameter `desktop_id`.
const MAX_DESKTOP_IDS: usize = 100;

/// One page of desktops.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Desktops {
    /// Total number of matching desktops.
    total_count: i64,
    desktops: Vec<Desktop>,
}

/// A tag of a desktop.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tag {
    key: String,
    value: String,
}

impl Tag {
    pub(crate) fn all(tags: BTreeMap<String, String>) -> Vec<Self> {
        tags.into_iter().map(|(key, value)| Self { key, value }).collect()
    }
}

/// Status of a desktop. Graywave knows only whether the agent is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum DesktopStatus {
    /// The agent is connected.
    Active,
    /// The agent is disconnected.
    Shutoff,
    /// Accepted as a filter, but no desktop has this status.
    Error,
    /// Accepted as a filter, but no desktop has this status.
    Hibernated,
}

impl DesktopStatus {
    pub(crate) const fn of(connected: bool) -> Self {
        if connected { Self::Active } else { Self::Shutoff }
    }
}

/// A desktop with its properties.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Desktop {
    desktop_id: String,
    computer_name: String,
    os_host_name: String,
    ip_address: String,
    tags: Vec<Tag>,
    status: DesktopStatus,
    /// REGISTERED while the agent is connected, else UNREGISTER.
    connect_status: &'static str,
    pool_id: Option<String>,
    availability_zone: Option<String>,
    desktop_type: &'static str,
    os_type: String,
    agent_version: String,
    /// UTC time in the format `2022-02-23 04:02:07`.
    created: String,
    project_id: String,
}

/// Value of `connect_status` and `login_status`.
pub(crate) const fn connect_status(connected: bool) -> &'static str {
    if connected { "REGISTERED" } else { "UNREGISTER" }
}

/// Formats a time as in the published lists of desktops.
pub(crate) fn created(row: &DesktopRow) -> String {
    row.created_at.format("%Y-%m-%d %H:%M:%S").to_string()
}

impl From<DesktopRow> for Desktop {
    fn from(row: DesktopRow) -> Self {
        let connected = row.worker_id.is_some();
        let created = created(&row);
        let facts = row.facts;
        Self {
            desktop_id: facts.desktop_id.into_string(),
            computer_name: facts.computer_name,
            os_host_name: facts.os_host_name,
            ip_address: facts.ip_address,
            tags: Tag::all(facts.tags),
            status: DesktopStatus::of(connected),
            connect_status: connect_status(connected),
            pool_id: non_empty(facts.pool_id),
            availability_zone: non_empty(facts.availability_zone),
            desktop_type: "DEDICATED",
            os_type: facts.os_type,
            agent_version: facts.agent_version,
            created,
            project_id: facts.project_id.into_string(),
        }
    }
}

/// Filters of desktops. Users, subnets and similar attributes are unknown here; such a filter
/// matches nothing.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Maximum number of desktops; default 1,000.
    #[param(minimum = 0, maximum = 1000)]
    limit: Option<i64>,
    /// Only these desktops.
    #[param(max_items = 100)]
    desktop_id: Vec<String>,
    /// Only the desktop with exactly this name.
    computer_name: Option<String>,
    /// Only desktops with this address.
    desktop_ip: Option<String>,
    /// Only desktops with this tag: `k=v`, or `k=v,k2=v2` for several tags.
    #[param(pattern = "^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$")]
    tag: Option<String>,
    /// Only desktops of these pools, separated by commas.
    pool_id: Option<String>,
    /// Only desktops with this status.
    status: Option<DesktopStatus>,
    /// Only DEDICATED is known; all desktops have this value.
    desktop_type: Option<String>,
    /// Only 3 (not reported) is known; all desktops have this value.
    domain_status: Option<i64>,
    is_share_desktop: Option<bool>,
    user_name: Vec<String>,
    subnet_id: Option<String>,
    /// Only 0 is known; all desktops have this value.
    enterprise_project_id: Option<String>,
}

impl ListQuery {
    fn knows_it_all(&self) -> bool {
        self.user_name.iter().all(String::is_empty)
            && is_unset(self.subnet_id.as_deref())
            && is_default(self.enterprise_project_id.as_deref(), "0")
            && is_default(self.desktop_type.as_deref(), "DEDICATED")
            && self.domain_status.is_none_or(|status| status == 3)
            && !self.is_share_desktop.unwrap_or(false)
    }
}

/// Whether a filter is empty.
pub(crate) fn is_unset(value: Option<&str>) -> bool {
    value.is_none_or(str::is_empty)
}

/// Whether a filter is empty, or names the value that all desktops have.
pub(crate) fn is_default(value: Option<&str>, all: &str) -> bool {
    value.is_none_or(|value| value.is_empty() || value == all)
}

/// Validates a repeated desktop id.
pub(crate) fn desktop_ids(values: Vec<String>) -> Result<Vec<String>, Error> {
    if values.len() > MAX_DESKTOP_IDS {
        return Err(Error::out_of_range(
            "desktop_id",
            format!("{} ids; at most {MAX_DESKTOP_IDS} are allowed", values.len()),
        ));
    }
    Ok(query::texts(values))
}

/// Parses ids separated by commas.
pub(crate) fn pools(value: Option<String>) -> Vec<String> {
    let value = value.unwrap_or_default();
    value.split(',').filter(|pool| !pool.is_empty()).map(str::to_owned).collect()
}

/// Required connection state; `None` if no desktop can match.
pub(crate) const fn connected(status: Option<DesktopStatus>) -> Option<Option<bool>> {
    match status {
        None => Some(None),
        Some(DesktopStatus::Active) => Some(Some(true)),
        Some(DesktopStatus::Shutoff) => Some(Some(false)),
        Some(DesktopStatus::Error | DesktopStatus::Hibernated) => None,
    }
}

/// List desktops by id.
#[utoipa::path(
    get, path = "/v2/{project_id}/desktops", operation_id = "ListDesktops", tag = "desktops",
    params(Project, OffsetQuery, ListQuery),
    responses((status = 200, description = "One page.", body = Desktops)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Desktops>, ApiError> {
    let page = offset.page(DESKTOP_LIST, query.limit)?;
    let (knows_it_all, connected) = (query.knows_it_all(), connected(query.status));
    let filter = DesktopFilter {
        desktop_ids: desktop_ids(query.desktop_id)?,
        computer_names: query::text(query.computer_name).into_iter().collect(),
        ip_address: query::text(query.desktop_ip),
        pool_ids: pools(query.pool_id),
        tags: query.tag.map(|text| parse_tags("tag", &text)).transpose()?.unwrap_or_default(),
        connected: connected.flatten(),
        ..DesktopFilter::default()
    };
    if !knows_it_all || connected.is_none() {
        return Ok(Json(Desktops { total_count: 0, desktops: Vec::new() }));
    }
    let (total_count, rows) =
        control.list_desktops(&caller, Action::ListDesktops, &filter, DesktopOrder::Id, page).await?;
    Ok(Json(Desktops { total_count, desktops: rows.into_iter().map(Desktop::from).collect() }))
}
