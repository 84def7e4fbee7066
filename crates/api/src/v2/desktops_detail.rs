//! ListDesktopsDetail of the compatible family.

use axum::Json;
use control::{DesktopFilter, DesktopOrder, DesktopRow, Retired};
use domain::{authz::Action, desktop::parse_tags, page::DESKTOP_DETAIL_LIST};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desktops::{
    DesktopStatus, Tag, connect_status, connected, created, desktop_ids, is_default, is_unset, pools,
};
use crate::{
    dto::{OffsetQuery, Project, non_empty},
    error::ApiError,
    extract::{Authorized, Parameters, query},
};

/// One page of desktops.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetailedDesktops {
    /// Total number of matching desktops.
    total_count: i64,
    desktops: Vec<DetailedDesktop>,
}

/// A desktop with all known properties.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetailedDesktop {
    desktop_id: String,
    computer_name: String,
    os_host_name: String,
    ip_addresses: Vec<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    desktop_type: &'static str,
    status: DesktopStatus,
    /// REGISTERED while the agent is connected, else UNREGISTER.
    login_status: &'static str,
    in_maintenance_mode: bool,
    availability_zone: Option<String>,
    os_version: String,
    agent_version: String,
    tags: Vec<Tag>,
    pool_id: Option<String>,
    /// Worker that the agent is connected to; absent while disconnected.
    worker_id: Option<String>,
    /// UTC time in the format `2022-02-23 04:02:07`.
    created: String,
}

impl From<DesktopRow> for DetailedDesktop {
    fn from(row: DesktopRow) -> Self {
        let connected = row.worker_id.is_some();
        let created = created(&row);
        let facts = row.facts;
        let address = non_empty(facts.ip_address);
        let is_v6 = address.as_deref().is_some_and(|address| address.contains(':'));
        Self {
            desktop_id: facts.desktop_id.into_string(),
            computer_name: facts.computer_name,
            os_host_name: facts.os_host_name,
            ip_addresses: address.iter().cloned().collect(),
            ipv4: address.clone().filter(|_| !is_v6),
            ipv6: address.filter(|_| is_v6),
            desktop_type: "DEDICATED",
            status: DesktopStatus::of(connected),
            login_status: connect_status(connected),
            in_maintenance_mode: false,
            availability_zone: non_empty(facts.availability_zone),
            os_version: facts.os_type,
            agent_version: facts.agent_version,
            tags: Tag::all(facts.tags),
            pool_id: non_empty(facts.pool_id),
            worker_id: row.worker_id.map(domain::ids::WorkerId::into_string),
            created,
        }
    }
}

/// Sort key of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SortField {
    /// Time of the first connect.
    Created,
    ComputerName,
}

/// Sort direction of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum SortType {
    Asc,
    Desc,
}

/// Filters of desktops. Users, images and similar attributes are unknown here; such a filter
/// matches nothing.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Maximum number of desktops; default 500.
    #[param(minimum = 0, maximum = 500)]
    limit: Option<i64>,
    /// Only these desktops.
    #[param(max_items = 100)]
    desktop_id: Vec<String>,
    /// Only the desktop with exactly this name.
    computer_name: Option<String>,
    /// Only desktops with exactly these names.
    computer_names: Vec<String>,
    /// Only desktops with this address.
    desktop_ip: Option<String>,
    /// Only desktops with this tag: `k=v`, or `k=v,k2=v2` for several tags.
    #[param(pattern = "^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$")]
    tag: Option<String>,
    /// Only desktops without any tag.
    without_any_tag: Option<bool>,
    /// Only desktops of these pools, separated by commas.
    pool_id: Option<String>,
    /// Only desktops in this availability zone.
    availability_zone: Option<String>,
    /// Only desktops with this agent version.
    agent_version: Option<String>,
    /// Only desktops with this status.
    status: Option<DesktopStatus>,
    /// Sort key; default the desktop id.
    sort_field: Option<SortField>,
    /// Sort direction; default ASC.
    sort_type: Option<SortType>,
    /// Only DEDICATED is known; all desktops have this value.
    desktop_type: Option<String>,
    /// Only 3 (not reported) is known; all desktops have this value.
    domain_status: Option<i64>,
    is_share_desktop: Option<bool>,
    in_maintenance_mode: Option<bool>,
    user_attached: Option<bool>,
    is_support_internet: Option<bool>,
    user_name: Option<String>,
    user_names: Vec<String>,
    user_id: Option<String>,
    image_id: Option<String>,
    charge_mode: Option<String>,
    subnet_id: Option<String>,
    /// Only 0 is known; all desktops have this value.
    enterprise_project_id: Option<String>,
}

impl ListQuery {
    fn knows_it_all(&self) -> bool {
        let unknown = [&self.user_name, &self.user_id, &self.image_id, &self.charge_mode, &self.subnet_id];
        let never =
            [self.is_share_desktop, self.in_maintenance_mode, self.user_attached, self.is_support_internet];
        unknown.into_iter().all(|value| is_unset(value.as_deref()))
            && self.user_names.iter().all(String::is_empty)
            && never.into_iter().all(|value| !value.unwrap_or(false))
            && is_default(self.enterprise_project_id.as_deref(), "0")
            && is_default(self.desktop_type.as_deref(), "DEDICATED")
            && self.domain_status.is_none_or(|status| status == 3)
    }

    const fn order(&self) -> DesktopOrder {
        match (self.sort_field, self.sort_type) {
            (None, _) => DesktopOrder::Id,
            (Some(SortField::Created), Some(SortType::Desc)) => DesktopOrder::CreatedDescending,
            (Some(SortField::Created), _) => DesktopOrder::Created,
            (Some(SortField::ComputerName), Some(SortType::Desc)) => DesktopOrder::NameDescending,
            (Some(SortField::ComputerName), _) => DesktopOrder::Name,
        }
    }
}

/// List desktops with all known properties.
#[utoipa::path(
    get, path = "/v2/{project_id}/desktops/detail", operation_id = "ListDesktopsDetail", tag = "desktops",
    params(Project, OffsetQuery, ListQuery),
    responses((status = 200, description = "One page.", body = DetailedDesktops)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<DetailedDesktops>, ApiError> {
    let page = offset.page(DESKTOP_DETAIL_LIST, query.limit)?;
    let (knows_it_all, order, connected) = (query.knows_it_all(), query.order(), connected(query.status));
    let mut computer_names = query::texts(query.computer_names);
    computer_names.extend(query::text(query.computer_name));
    let filter = DesktopFilter {
        id_prefix: None,
        desktop_ids: desktop_ids(query.desktop_id)?,
        computer_names,
        ip_address: query::text(query.desktop_ip),
        pool_ids: pools(query.pool_id),
        os_type: None,
        availability_zone: query::text(query.availability_zone),
        agent_versions: query::text(query.agent_version).into_iter().collect(),
        tags: query.tag.map(|text| parse_tags("tag", &text)).transpose()?.unwrap_or_default(),
        without_any_tag: query.without_any_tag.unwrap_or(false),
        connected: connected.flatten(),
        retired: Retired::Excluded,
        after: None,
    };
    if !knows_it_all || connected.is_none() {
        return Ok(Json(DetailedDesktops { total_count: 0, desktops: Vec::new() }));
    }
    let (total_count, rows) =
        control.list_desktops(&caller, Action::ListDesktopsDetail, &filter, order, page).await?;
    Ok(Json(DetailedDesktops {
        total_count,
        desktops: rows.into_iter().map(DetailedDesktop::from).collect(),
    }))
}
