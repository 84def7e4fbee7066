//! Desktops, with all that is known of them.

use control::{DesktopFilter, DesktopRow};
use domain::ids::{DesktopId, WorkerId};
use proto::{
    admin::{
        Desktop, GetDesktopRequest, GetDesktopResponse, ListDesktopsRequest, ListDesktopsResponse, Presence,
        desktop_service_server::DesktopService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    called::called,
    page,
    status::failed,
    values::{check_text, filter, filters, text, word},
};

fn desktop(row: DesktopRow) -> Desktop {
    let facts = row.facts;
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
    }
}

fn wanted(message: ListDesktopsRequest, after: Option<DesktopId>) -> Result<DesktopFilter, domain::Error> {
    for (key, value) in &message.tags {
        check_text("tags", key)?;
        check_text("tags", value)?;
    }
    Ok(DesktopFilter {
        pool_ids: filters("desktop_pool_ids", message.desktop_pool_ids)?,
        os_type: filter("os_type", message.os_type)?,
        availability_zone: filter("availability_zone", message.availability_zone)?,
        tags: message.tags,
        connected: word::<Presence>("presence", message.presence)?.map(|word| word == "ACTIVE"),
        after: after.map(DesktopId::into_string),
        ..DesktopFilter::default()
    })
}

#[tonic::async_trait]
impl DesktopService for Service {
    async fn list_desktops(
        &self,
        request: Request<ListDesktopsRequest>,
    ) -> Result<Response<ListDesktopsResponse>, Status> {
        let (caller, message) = called(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let filter = wanted(message, after).map_err(failed)?;
        let found = self.control.page_desktops(&caller, &filter, size).await.map_err(failed)?;
        let next_page_token = page::next(&found, size, |row| row.facts.desktop_id.to_string());
        let desktops = found.into_iter().map(desktop).collect();
        Ok(Response::new(ListDesktopsResponse { desktops, next_page_token }))
    }

    async fn get_desktop(
        &self,
        request: Request<GetDesktopRequest>,
    ) -> Result<Response<GetDesktopResponse>, Status> {
        let (caller, message) = called(request)?;
        let desktop_id = DesktopId::find(&message.desktop_id).map_err(failed)?;
        let row = self.control.show_desktop(&caller, &desktop_id).await.map_err(failed)?;
        Ok(Response::new(GetDesktopResponse { desktop: Some(desktop(row)) }))
    }
}
