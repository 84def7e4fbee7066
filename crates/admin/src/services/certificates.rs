//! The certificate service: the deny-list.

use control::{NewDenial, finished};
use proto::admin::{
    AllowCertificateRequest, AllowCertificateResponse, DenyCertificateRequest, DenyCertificateResponse,
    ListDeniedCertificatesRequest, ListDeniedCertificatesResponse,
    certificate_service_server::CertificateService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{certificate::denied, value::moment},
    extract::extract_operator,
    page::{self, Name},
    status::failed,
};

#[tonic::async_trait]
impl CertificateService for Service {
    async fn list_denied_certificates(
        &self,
        request: Request<ListDeniedCertificatesRequest>,
    ) -> Result<Response<ListDeniedCertificatesResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let (size, after) = page::read::<Name>(message.page_size, &message.page_token).map_err(failed)?;
        let after = after.as_ref().map(|name| name.0.as_str());
        let found = self.control.list_denied_certificates(&operator, after, size).await.map_err(failed)?;
        let (certificates, next_page_token) =
            page::of(found.into_iter().map(denied), size, |it| it.serial.clone());
        Ok(Response::new(ListDeniedCertificatesResponse { certificates, next_page_token }))
    }

    async fn deny_certificate(
        &self,
        request: Request<DenyCertificateRequest>,
    ) -> Result<Response<DenyCertificateResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let DenyCertificateRequest { serial, identity, expire_time, reason } = message;
        let expires_at = moment("expire_time", expire_time).map_err(failed)?;
        let control = self.control.clone();
        let new = NewDenial { serial, identity, expires_at, reason };
        let made = finished(async move { control.deny_certificate_by(&operator, new).await });
        let certificate = Some(denied(made.await.map_err(failed)?));
        Ok(Response::new(DenyCertificateResponse { certificate }))
    }

    async fn allow_certificate(
        &self,
        request: Request<AllowCertificateRequest>,
    ) -> Result<Response<AllowCertificateResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let control = self.control.clone();
        finished(async move { control.allow_certificate_by(&operator, &message.serial).await })
            .await
            .map_err(failed)?;
        Ok(Response::new(AllowCertificateResponse {}))
    }
}
