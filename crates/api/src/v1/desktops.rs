//! Desktops: all that is known of them, their tags, and whether they are in service.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::Path};
use control::{Actor, DesktopFilter, DesktopRow, Retired, finished};
use domain::{
    Error,
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
    /// `null` on the last page.
    next_page_token: Option<String>,
}

/// Whether an agent is connected; the words are those of `/v2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Presence {
    /// Its agent is connected.
    Active,
    /// Its agent is not connected.
    Shutoff,
}

/// A desktop, as its agent describes it, and what operators have made of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeDesktop {
    desktop_id: String,
    computer_name: String,
    os_host_name: String,
    /// Linux, Windows or macOS.
    os_type: String,
    ip_address: Option<String>,
    desktop_pool_id: Option<String>,
    availability_zone: Option<String>,
    /// Like `Europe/Berlin`.
    time_zone: Option<String>,
    agent_version: String,
    /// What it is marked with: by its agent and by operators, whose tags win.
    tags: BTreeMap<String, String>,
    /// Those of the tags that operators set.
    operator_tags: BTreeMap<String, String>,
    status: Presence,
    connected: bool,
    /// The worker that holds its connection.
    worker_id: Option<String>,
    /// When it last connected or went.
    #[schema(format = DateTime)]
    presence_time: String,
    /// When it was first seen.
    #[schema(format = DateTime)]
    create_time: String,
    /// Since when it is retired; `null` while it is in service.
    #[schema(format = DateTime)]
    retire_time: Option<String>,
    /// The principal that retired it.
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

// Documents the form; `tags` below reads it.
/// A tag that desktops must have, like `team=finance`.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, pattern = "^[^=]+=")]
#[expect(dead_code, reason = "documents a parameter")]
pub(crate) struct TagFilter(String);

/// Whether desktops that are retired are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum RetiredToo {
    /// They are listed as well.
    Included,
    /// They alone are listed.
    Only,
}

/// Which desktops are listed. All that is given must be so.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only those whose ids begin so.
    desktop_id_prefix: Option<String>,
    /// Only with this tag, `key=value`; repeated: with all of them.
    #[param(value_type = Vec<TagFilter>)]
    tag: Vec<String>,
    /// Only of these pools.
    desktop_pool_id: Vec<String>,
    /// Only with this operating system.
    os_type: Option<String>,
    /// Only in this zone.
    availability_zone: Option<String>,
    /// Only with this status.
    status: Option<Presence>,
    /// Those that are retired as well, or alone; none of them when it is left out.
    retired: Option<RetiredToo>,
}

/// Each `key=value`; a value may hold both signs of the form.
fn tags(pairs: Vec<String>) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = BTreeMap::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Error::invalid("tag", "must be key=value; give it again for each further tag"))?;
        let before = tags.insert(key.to_owned(), value.to_owned());
        if before.is_some_and(|before| before != value) {
            let message = format!("two values of {key:?} are given: a desktop has one value of each key");
            return Err(Error::invalid("tag", message));
        }
    }
    Ok(tags)
}

/// List desktops in the order of their ids; those that are retired only where they are asked for.
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
    let filter = DesktopFilter {
        id_prefix: query::text(query.desktop_id_prefix),
        pool_ids: query::texts(query.desktop_pool_id),
        os_type: query::text(query.os_type),
        availability_zone: query::text(query.availability_zone),
        tags: tags(query.tag)?,
        connected: query.status.map(|status| status == Presence::Active),
        retired: match query.retired {
            None => Retired::Excluded,
            Some(RetiredToo::Included) => Retired::Included,
            Some(RetiredToo::Only) => Retired::Only,
        },
        after: last.map(DesktopId::into_string),
        ..DesktopFilter::default()
    };
    let found = control.page_desktops(&caller, &filter, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.facts.desktop_id.to_string());
    Ok(Json(NativeDesktops {
        desktops: found.into_iter().map(NativeDesktop::from).collect(),
        next_page_token,
    }))
}

/// A desktop in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DesktopPath {
    /// The desktop.
    desktop_id: String,
}

impl DesktopPath {
    /// An id that cannot be one is one that does not exist.
    fn id(&self) -> Result<DesktopId, Error> {
        DesktopId::find(&self.desktop_id)
    }
}

/// Show a desktop, also one that is retired.
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

/// What a revocation has found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedDesktop {
    desktop_id: String,
    /// Certificates of enrolments that were good until now. Those that were made by hand are not counted, and refused as well.
    certificates: u64,
    /// Whether it was connected with a certificate; that connection is being cut.
    was_connected: bool,
}

/// Revoke every certificate that a desktop has: its connection is cut, and nothing is handed to it. Only an enrolment token that
/// is made later lets it in again.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/desktops/{desktop_id}/revoke", operation_id = "RevokeDesktop",
    tag = "native", params(Project, DesktopPath),
    responses((status = 200, description = "It is revoked.", body = RevokedDesktop)),
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

/// What becomes of operators' tags of a desktop. What is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagRequest {
    /// Tags to set, whether they are there or not. A name has 1 to 256 characters, none of them `=` or `,`, and a value at most
    /// 256; neither has a control character. A desktop has at most 50 tags of operators, beside those of its agent.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Names of operators' tags to remove; one that is not there is removed already. What the agent says of such a name counts
    /// again. A tag that is the agent's alone cannot be removed, only overruled.
    #[serde(default)]
    #[schema(max_items = 50)]
    remove: BTreeSet<String>,
}

/// Set operators' tags of a desktop, and remove others. They win over the tags that its agent describes it with, and stay when it
/// connects anew.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/desktops/{desktop_id}/tags", operation_id = "TagDesktop", tag = "native",
    params(Project, DesktopPath), request_body = TagRequest,
    responses((status = 200, description = "The desktop as it now is.", body = NativeDesktop)),
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

/// Take a desktop out of service: it is neither listed nor chosen for new tasks, its certificates are revoked, its connection is
/// cut, and its agent is refused until it is unretired. What it has done stays readable.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/desktops/{desktop_id}/retire", operation_id = "RetireDesktop",
    tag = "native", params(Project, DesktopPath),
    responses((status = 200, description = "The desktop as it now is.", body = NativeDesktop)),
)]
pub(crate) async fn retire(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
) -> Result<Json<NativeDesktop>, ApiError> {
    let desktop_id = path.id()?;
    let row = finished(async move { control.retire_desktop(&caller, &desktop_id).await }).await?;
    Ok(Json(row.into()))
}

/// Take a retired desktop back into service. Its certificates stay revoked: under TLS it needs a new one.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/desktops/{desktop_id}/retire", operation_id = "UnretireDesktop",
    tag = "native", params(Project, DesktopPath),
    responses((status = 200, description = "The desktop as it now is.", body = NativeDesktop)),
)]
pub(crate) async fn unretire(
    Authorized { control, caller }: Authorized,
    Path(path): Path<DesktopPath>,
) -> Result<Json<NativeDesktop>, ApiError> {
    let desktop_id = path.id()?;
    let row = finished(async move { control.unretire_desktop(&caller, &desktop_id).await }).await?;
    Ok(Json(row.into()))
}
