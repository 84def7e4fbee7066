//! The audit.

use control::{AuditFilter, EntryRow};
use proto::{
    Word as _,
    admin::{
        AuditEntry, AuditResult, ListAuditEntriesRequest, ListAuditEntriesResponse,
        audit_service_server::AuditService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    called::called,
    page,
    status::failed,
    values::{filter, word},
};

fn entry(row: EntryRow) -> AuditEntry {
    AuditEntry {
        audit_id: row.audit_id.simple().to_string(),
        time: time(Some(row.at)),
        principal: row.principal,
        credential: row.credential,
        action: row.action,
        resource: row.resource,
        result: AuditResult::number(&row.result),
        reason: row.reason,
        source: row.source,
        request_id: row.request_id,
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let (caller, message) = called(request)?;
        let (size, before) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let result = word::<AuditResult>("result", message.result).map_err(failed)?;
        let wanted = AuditFilter {
            before,
            principal: filter("principal", message.principal).map_err(failed)?,
            action: filter("action", message.action).map_err(failed)?,
            result: result.map(str::to_owned),
            resource: filter("resource", message.resource).map_err(failed)?,
        };
        let found = self.control.list_audit(&caller, &wanted, size).await.map_err(failed)?;
        let (entries, next_page_token) =
            page::of(found.into_iter().map(entry), size, |it| it.audit_id.clone());
        Ok(Response::new(ListAuditEntriesResponse { entries, next_page_token }))
    }
}
