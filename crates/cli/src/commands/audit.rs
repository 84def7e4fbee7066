//! `graywave audit`.

use clap::Args;
use proto::{
    admin::{AuditEntry, AuditResult, ListAuditEntriesRequest},
    word,
};

use super::CommonArgs;
use crate::{
    Error,
    args::one_of,
    format::time,
    output::{Cell, Column, ListItem, Paging, cell, pages},
};

/// Arguments of `graywave audit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave audit --limit 20
  graywave audit --principal ann --result REFUSED -o wide
  graywave audit --resource task:ID")]
pub struct AuditArgs {
    /// Only entries of this principal
    #[arg(long, value_name = "NAME", default_value_t, hide_default_value = true)]
    principal: String,
    /// Only entries of this action: workspace:scripts:execute
    #[arg(long, value_name = "ACTION", default_value_t, hide_default_value = true)]
    action: String,
    /// Only entries with this result
    #[arg(long, value_name = "RESULT", value_parser = one_of::<AuditResult>(), ignore_case = true)]
    result: Option<i32>,
    /// Only entries about this resource: task:ID
    #[arg(long, value_name = "KIND:ID", default_value_t, hide_default_value = true)]
    resource: String,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn audit(arguments: AuditArgs) -> Result<(), Error> {
    let AuditArgs { principal, action, result, resource, paging, common } = arguments;
    let (session, mut console) = common.open().await?;
    pages(&mut console, &paging, "no matching audit entries", async |page_size, page_token| {
        let request = ListAuditEntriesRequest {
            page_size,
            page_token,
            principal: principal.clone(),
            action: action.clone(),
            result: result.unwrap_or_default(),
            resource: resource.clone(),
        };
        let page = session.audit().list_audit_entries(request).await;
        let page = page.map_err(|status| Error::of("cannot list the audit log", &status))?.into_inner();
        Ok((page.entries, page.next_page_token))
    })
    .await
}

impl ListItem for AuditEntry {
    const COLUMNS: &'static [Column] = &[
        Column::text("time"),
        Column::text("principal"),
        Column::text("action"),
        Column::text("resource"),
        Column::text("result"),
        Column::text("credential").wide(),
        Column::text("source").wide(),
        Column::text("request").wide(),
        Column::text("reason").wide(),
        Column::text("details").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(time(self.time.as_ref())),
            cell(&self.principal),
            cell(&self.action),
            cell(&self.resource),
            Cell::word(word::<AuditResult>(self.result)),
            cell(&self.credential),
            cell(&self.source),
            cell(&self.request_id),
            cell(&self.reason),
            cell(if self.details == "{}" { "" } else { &self.details }),
        ]
    }

    fn id(&self) -> &str {
        &self.audit_id
    }
}
