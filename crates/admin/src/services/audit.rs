//! The audit service.

use control::AuditFilter;
use proto::admin::{
    AuditResult, ListAuditEntriesRequest, ListAuditEntriesResponse, audit_service_server::AuditService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{
        audit::entry,
        value::{filter, word},
    },
    extract::{Principal, extract_principal},
    page,
    status::failed,
};

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let (principal, message) = extract_principal(request)?;
        let (size, before) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let result = word::<AuditResult>("result", message.result).map_err(failed)?;
        let wanted = AuditFilter {
            before,
            principal: filter("principal", message.principal).map_err(failed)?,
            action: filter("action", message.action).map_err(failed)?,
            result: result.map(str::to_owned),
            resource: filter("resource", message.resource).map_err(failed)?,
        };
        let found = match principal {
            Principal::Caller(caller) => self.control.list_audit(&caller, &wanted, size).await,
            Principal::Operator(operator) => self.control.list_cluster_audit(&operator, &wanted, size).await,
        };
        let found = found.map_err(failed)?;
        let (entries, next_page_token) =
            page::of(found.into_iter().map(entry), size, |it| it.audit_id.clone());
        Ok(Response::new(ListAuditEntriesResponse { entries, next_page_token }))
    }
}
