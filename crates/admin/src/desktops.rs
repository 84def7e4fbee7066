//! Desktops: all that is known of them, their tags, and whether they are in service.

use control::{Actor, DesktopFilter, DesktopRow, Retired, finished};
use domain::{
    ids::{DesktopId, WorkerId},
    tags::TagChange,
};
use proto::{
    admin::{
        Desktop, GetDesktopRequest, GetDesktopResponse, ListDesktopsRequest, ListDesktopsResponse, Presence,
        RetireDesktopRequest, RetireDesktopResponse, RetiredFilter, RevokeDesktopRequest,
        RevokeDesktopResponse, TagDesktopRequest, TagDesktopResponse, UnretireDesktopRequest,
        UnretireDesktopResponse, desktop_service_server::DesktopService,
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
    }
}

fn wanted(message: ListDesktopsRequest, after: Option<DesktopId>) -> Result<DesktopFilter, domain::Error> {
    for (key, value) in &message.tags {
        check_text("tags", key)?;
        check_text("tags", value)?;
    }
    Ok(DesktopFilter {
        id_prefix: filter("desktop_id_prefix", message.desktop_id_prefix)?,
        pool_ids: filters("desktop_pool_ids", message.desktop_pool_ids)?,
        os_type: filter("os_type", message.os_type)?,
        availability_zone: filter("availability_zone", message.availability_zone)?,
        tags: message.tags,
        connected: word::<Presence>("presence", message.presence)?.map(|word| word == "ACTIVE"),
        retired: match word::<RetiredFilter>("retired", message.retired)? {
            Some("INCLUDED") => Retired::Included,
            Some("ONLY") => Retired::Only,
            _ => Retired::Excluded,
        },
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
        let (desktops, next_page_token) =
            page::of(found.into_iter().map(desktop), size, |it| it.desktop_id.clone());
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

    async fn tag_desktop(
        &self,
        request: Request<TagDesktopRequest>,
    ) -> Result<Response<TagDesktopResponse>, Status> {
        let (caller, TagDesktopRequest { desktop_id, set, remove }) = called(request)?;
        let desktop_id = DesktopId::find(&desktop_id).map_err(failed)?;
        let change = TagChange { set, remove: remove.into_iter().collect() };
        let control = self.control.clone();
        let row = finished(async move { control.tag_desktop(&caller, &desktop_id, &change).await });
        let desktop = Some(desktop(row.await.map_err(failed)?));
        Ok(Response::new(TagDesktopResponse { desktop }))
    }

    async fn retire_desktop(
        &self,
        request: Request<RetireDesktopRequest>,
    ) -> Result<Response<RetireDesktopResponse>, Status> {
        let (caller, message) = called(request)?;
        let desktop_id = DesktopId::find(&message.desktop_id).map_err(failed)?;
        let control = self.control.clone();
        let row = finished(async move { control.retire_desktop(&caller, &desktop_id).await });
        let desktop = Some(desktop(row.await.map_err(failed)?));
        Ok(Response::new(RetireDesktopResponse { desktop }))
    }

    async fn unretire_desktop(
        &self,
        request: Request<UnretireDesktopRequest>,
    ) -> Result<Response<UnretireDesktopResponse>, Status> {
        let (caller, message) = called(request)?;
        let desktop_id = DesktopId::find(&message.desktop_id).map_err(failed)?;
        let control = self.control.clone();
        let row = finished(async move { control.unretire_desktop(&caller, &desktop_id).await });
        let desktop = Some(desktop(row.await.map_err(failed)?));
        Ok(Response::new(UnretireDesktopResponse { desktop }))
    }

    async fn revoke_desktop(
        &self,
        request: Request<RevokeDesktopRequest>,
    ) -> Result<Response<RevokeDesktopResponse>, Status> {
        let (caller, message) = called(request)?;
        let desktop_id = DesktopId::find(&message.desktop_id).map_err(failed)?;
        let control = self.control.clone();
        let revoked =
            finished(async move { control.revoke_desktop(Actor::Caller(&caller), &desktop_id).await });
        let revoked = revoked.await.map_err(failed)?;
        Ok(Response::new(RevokeDesktopResponse {
            certificates: revoked.certificates,
            was_connected: revoked.was_connected,
            is_known: revoked.is_known,
        }))
    }
}
