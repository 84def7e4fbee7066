//! The enrolment service: tokens with which machines enrol as desktops.

use control::{Actor, EnrolmentTerms, finished};
use domain::{
    enrolment::Assignment,
    ids::DesktopId,
    limits::{DEFAULT_ENROLMENT_TOKEN_HOURS, DEFAULT_ENROLMENT_TOKEN_USES},
};
use proto::admin::{
    CreateEnrolmentTokenRequest, CreateEnrolmentTokenResponse, ListEnrolmentTokensRequest,
    ListEnrolmentTokensResponse, RevokeEnrolmentTokenRequest, RevokeEnrolmentTokenResponse,
    enrolment_service_server::EnrolmentService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{enrolment::token, value::filter},
    extract::extract,
    page,
    status::{failed, within},
};

#[tonic::async_trait]
impl EnrolmentService for Service {
    async fn list_enrolment_tokens(
        &self,
        request: Request<ListEnrolmentTokensRequest>,
    ) -> Result<Response<ListEnrolmentTokensResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let found = self.control.list_enrolment_tokens(Actor::Caller(&caller), after, size).await;
        let found = found.map_err(failed)?;
        let (enrolment_tokens, next_page_token) =
            page::of(found.into_iter().map(token), size, |it| it.token_id.clone());
        Ok(Response::new(ListEnrolmentTokensResponse { enrolment_tokens, next_page_token }))
    }

    async fn create_enrolment_token(
        &self,
        request: Request<CreateEnrolmentTokenRequest>,
    ) -> Result<Response<CreateEnrolmentTokenResponse>, Status> {
        let (caller, message) = extract(request)?;
        let desktop_id = filter("desktop_id", message.desktop_id).map_err(failed)?;
        let desktop_id: Option<DesktopId> =
            desktop_id.map(|id| id.parse()).transpose().map_err(within("desktop_id"))?;
        let assignment = Assignment {
            pool_id: filter("pool_id", message.pool_id).map_err(failed)?,
            availability_zone: filter("availability_zone", message.availability_zone).map_err(failed)?,
            tags: message.tags,
        };
        let uses = message.uses.unwrap_or(DEFAULT_ENROLMENT_TOKEN_USES);
        let expires_in_hours = message.expires_in_hours.unwrap_or(DEFAULT_ENROLMENT_TOKEN_HOURS);
        let terms = EnrolmentTerms { desktop_id, uses, expires_in_hours, assignment };
        let control = self.control.clone();
        let made =
            finished(async move { control.create_enrolment_token(Actor::Caller(&caller), terms).await });
        let made = made.await.map_err(failed)?;
        let answer =
            CreateEnrolmentTokenResponse { enrolment_token: Some(token(made.row)), secret: made.token };
        Ok(Response::new(answer))
    }

    async fn revoke_enrolment_token(
        &self,
        request: Request<RevokeEnrolmentTokenRequest>,
    ) -> Result<Response<RevokeEnrolmentTokenResponse>, Status> {
        let (caller, message) = extract(request)?;
        let control = self.control.clone();
        let revoked = finished(async move {
            control.revoke_enrolment_token(Actor::Caller(&caller), &message.token_id).await
        });
        revoked.await.map_err(failed)?;
        Ok(Response::new(RevokeEnrolmentTokenResponse {}))
    }
}
