//! Conversions of the desktop service between proto and domain.

use control::{AgentAge, DesktopFilter, DesktopRow, Retired};
use domain::ids::{DesktopId, WorkerId};
use proto::{
    Word as _,
    admin::{Containment, Desktop, ListDesktopsRequest, Presence, RetiredFilter},
    time,
};

use super::value::{check_text, filter, filters, text, word};

pub(crate) fn desktop(row: DesktopRow) -> Desktop {
    let facts = row.facts;
    let (retired_at, retired_by) = row.retired.unzip();
    let presence = if row.worker_id.is_some() { Presence::Active } else { Presence::Shutoff };
    Desktop {
        desktop_id: facts.desktop_id.into_string(),
        computer_name: facts.computer_name,
        os_host_name: facts.os_host_name,
        os_type: facts.os_type,
        ip_address: facts.ip_address,
        desktop_pool_id: facts.pool_id,
        availability_zone: facts.availability_zone,
        time_zone: facts.time_zone,
        agent_version: facts.agent_version,
        tags: facts.tags,
        presence: presence.into(),
        worker_id: text(row.worker_id.map(WorkerId::into_string)),
        presence_time: time(Some(row.presence_at)),
        create_time: time(Some(row.created_at)),
        operator_tags: row.operator_tags,
        retire_time: time(retired_at),
        retired_by: text(retired_by),
        os_version: facts.os_version,
        containment: facts.containment.map_or(0, |word| Containment::number(word.as_str())),
    }
}

pub(crate) fn wanted(
    message: ListDesktopsRequest,
    after: Option<DesktopId>,
) -> Result<(DesktopFilter, Option<AgentAge>), domain::Error> {
    for (key, value) in &message.tags {
        check_text("tags", key)?;
        check_text("tags", value)?;
    }
    let than = filter("agent_older_than", message.agent_older_than)?;
    let age = AgentAge::read(("outdated", message.outdated), ("agent_older_than", than.as_deref()))?;
    let filter = DesktopFilter {
        id_prefix: filter("desktop_id_prefix", message.desktop_id_prefix)?,
        pool_ids: filters("desktop_pool_ids", message.desktop_pool_ids)?,
        os_type: filter("os_type", message.os_type)?,
        availability_zone: filter("availability_zone", message.availability_zone)?,
        agent_versions: filters("agent_versions", message.agent_versions)?,
        tags: message.tags,
        connected: word::<Presence>("presence", message.presence)?.map(|word| word == "ACTIVE"),
        retired: match word::<RetiredFilter>("retired", message.retired)? {
            Some("INCLUDED") => Retired::Included,
            Some("ONLY") => Retired::Only,
            _ => Retired::Excluded,
        },
        after: after.map(DesktopId::into_string),
        ..DesktopFilter::default()
    };
    Ok((filter, age))
}
