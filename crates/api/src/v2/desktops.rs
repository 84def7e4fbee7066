//! ListDesktops.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State};
use control::{Control, DesktopFilter, DesktopRow};
use domain::{Error, ids::ProjectId, page::DESKTOP_LIST};
use serde::Serialize;

use crate::{error::ApiError, query::Parameters};

/// The published limit of the repeated parameter.
const MAX_DESKTOP_IDS: usize = 100;

#[derive(Debug, Serialize)]
pub(crate) struct Desktops {
    total_count: i64,
    desktops: Vec<Desktop>,
}

#[derive(Debug, Serialize)]
struct Tag {
    key: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Desktop {
    desktop_id: String,
    computer_name: String,
    os_host_name: String,
    ip_address: String,
    tags: Vec<Tag>,
    status: &'static str,
    connect_status: &'static str,
    pool_id: Option<String>,
    availability_zone: Option<String>,
    desktop_type: &'static str,
    os_type: String,
    agent_version: String,
    created: String,
    project_id: String,
}

impl From<DesktopRow> for Desktop {
    fn from(row: DesktopRow) -> Self {
        let connected = row.worker_id.is_some();
        let facts = row.facts;
        Self {
            desktop_id: facts.desktop_id.into_string(),
            computer_name: facts.computer_name,
            os_host_name: facts.os_host_name,
            ip_address: facts.ip_address,
            tags: facts.tags.into_iter().map(|(key, value)| Tag { key, value }).collect(),
            status: status(connected),
            connect_status: if connected { "REGISTERED" } else { "UNREGISTER" },
            pool_id: super::non_empty(facts.pool_id),
            availability_zone: super::non_empty(facts.availability_zone),
            desktop_type: "DEDICATED",
            os_type: facts.os_type,
            agent_version: facts.agent_version,
            created: row.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            project_id: facts.project_id.into_string(),
        }
    }
}

/// What is known of a desktop is whether its agent is connected.
const fn status(connected: bool) -> &'static str {
    if connected { "ACTIVE" } else { "SHUTOFF" }
}

pub(crate) async fn list(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    parameters: Parameters,
) -> Result<Json<Desktops>, ApiError> {
    let page = parameters.page(DESKTOP_LIST)?;
    let desktop_ids = parameters.all("desktop_id");
    if desktop_ids.len() > MAX_DESKTOP_IDS {
        return Err(Error::invalid(format!("desktop_id may be given {MAX_DESKTOP_IDS} times at most")).into());
    }
    let connected = match parameters.one("status") {
        None => None,
        Some("ACTIVE") => Some(true),
        Some("SHUTOFF") => Some(false),
        Some(_) => return Err(Error::invalid("status must be ACTIVE or SHUTOFF").into()),
    };
    let pools = parameters.one("pool_id").unwrap_or_default();
    let filter = DesktopFilter {
        desktop_ids,
        computer_name: parameters.one("computer_name").map(str::to_owned),
        ip_address: parameters.one("desktop_ip").map(str::to_owned),
        pool_ids: pools.split(',').filter(|pool| !pool.is_empty()).map(str::to_owned).collect(),
        tags: parameters.one("tag").map(tags).transpose()?.unwrap_or_default(),
        connected,
    };
    let (total_count, rows) = control.list_desktops(&project_id, &filter, page).await?;
    Ok(Json(Desktops { total_count, desktops: rows.into_iter().map(Desktop::from).collect() }))
}

/// `k=v` or `k=v,k2=v2`: all of them must be there.
fn tags(text: &str) -> Result<BTreeMap<String, String>, Error> {
    text.split(',')
        .map(|pair| {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Error::invalid("tag must be k=v or k=v,k2=v2"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}
