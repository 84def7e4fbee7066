//! The desktop service: list, show, tag, retire and revoke desktops.

use control::{Actor, finished};
use domain::{ids::DesktopId, tags::TagChange};
use proto::admin::{
    GetDesktopRequest, GetDesktopResponse, ListDesktopsRequest, ListDesktopsResponse, RetireDesktopRequest,
    RetireDesktopResponse, RevokeDesktopRequest, RevokeDesktopResponse, TagDesktopRequest,
    TagDesktopResponse, UnretireDesktopRequest, UnretireDesktopResponse,
    desktop_service_server::DesktopService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::desktop::{desktop, wanted},
    extract::extract,
    page,
    status::failed,
};

#[tonic::async_trait]
impl DesktopService for Service {
    async fn list_desktops(
        &self,
        request: Request<ListDesktopsRequest>,
    ) -> Result<Response<ListDesktopsResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let (filter, age) = wanted(message, after).map_err(failed)?;
        let found = self.control.page_desktops(&caller, &filter, age.as_ref(), size).await.map_err(failed)?;
        let (desktops, next_page_token) =
            page::of(found.into_iter().map(desktop), size, |it| it.desktop_id.clone());
        Ok(Response::new(ListDesktopsResponse { desktops, next_page_token }))
    }

    async fn get_desktop(
        &self,
        request: Request<GetDesktopRequest>,
    ) -> Result<Response<GetDesktopResponse>, Status> {
        let (caller, message) = extract(request)?;
        let desktop_id = DesktopId::find(&message.desktop_id).map_err(failed)?;
        let row = self.control.show_desktop(&caller, &desktop_id).await.map_err(failed)?;
        Ok(Response::new(GetDesktopResponse { desktop: Some(desktop(row)) }))
    }

    async fn tag_desktop(
        &self,
        request: Request<TagDesktopRequest>,
    ) -> Result<Response<TagDesktopResponse>, Status> {
        let (caller, TagDesktopRequest { desktop_id, set, remove }) = extract(request)?;
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
        let (caller, message) = extract(request)?;
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
        let (caller, message) = extract(request)?;
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
        let (caller, message) = extract(request)?;
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
