//! Conversions of the audit service between proto and domain.

use control::EntryRow;
use proto::{
    Word as _,
    admin::{AuditEntry, AuditResult},
    time,
};

pub(crate) fn entry(row: EntryRow) -> AuditEntry {
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
        details: row.details,
    }
}
