//! `graywave audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use domain::ids::ProjectId;
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

/// Arguments of `graywave audit`; without a subcommand, the entries are listed.
#[derive(Debug, Clone, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  graywave audit verify --ca-file ca.crt
  graywave audit --limit 20
  graywave audit --principal ann --result REFUSED -o wide
  graywave audit --resource task:ID"
)]
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
    #[command(subcommand)]
    command: Option<AuditCommand>,
}

/// Subcommands of `graywave audit`.
#[derive(Debug, Clone, Subcommand)]
enum AuditCommand {
    /// Verify the seals of the audit in the database: no entry was changed, removed or added
    #[command(after_help = "\
Reads the database of DATABASE_URL, and every entry of the audit in it.
Exits with 1 if a chain of seals is broken.

Examples:
  graywave audit verify --ca-file ca.crt
  graywave audit verify --project acme --ca-file ca.crt --output json")]
    Verify(AuditVerifyArgs),
}

/// Arguments of `graywave audit verify`, a command on the database.
#[derive(Debug, Clone, Args)]
pub struct AuditVerifyArgs {
    /// Only the chain of this project [default: all projects, and the cluster]
    #[arg(long, value_name = "ID")]
    pub project: Option<ProjectId>,
    /// Certificates of the CAs that certified the signers of seals [default: tls.ca_file]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Accept seals without a signature, as schedulers without TLS make them
    #[arg(long)]
    pub allow_unsigned: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: DatabaseFormat,
}

/// Output format of commands on the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DatabaseFormat {
    /// A table for people
    #[default]
    Table,
    /// JSON
    Json,
}

impl AuditArgs {
    /// Returns the arguments of the verification, which needs the database instead of the control
    /// plane; `None` for the list.
    pub(super) const fn verification(&self) -> Option<&AuditVerifyArgs> {
        match &self.command {
            Some(AuditCommand::Verify(arguments)) => Some(arguments),
            None => None,
        }
    }
}

pub(super) async fn audit(arguments: AuditArgs) -> Result<(), Error> {
    let AuditArgs { principal, action, result, resource, paging, common, .. } = arguments;
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
