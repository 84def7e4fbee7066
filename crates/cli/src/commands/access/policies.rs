//! `graywave policies`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::{ArgValueCompleter, PathCompleter};
use domain::{ErrorKind, Reason, limits::MAX_BODY_BYTES};
use proto::admin::{DeletePolicyRequest, ListPoliciesRequest, Policy, PutPolicyRequest};

use super::super::{CommonArgs, ListArgs};
use crate::{
    Error,
    args::read_unmarked,
    client::{Session, repeated},
    output::{Cell, Column, ListItem, cell, pages},
    sanitize::sanitize,
};

/// Page size of requests, in policies.
const PAGE: i32 = 1_000;

/// Arguments of `graywave policies`; without a subcommand, the policies are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PoliciesArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<PoliciesCommand>,
}

/// Subcommands of `graywave policies`.
#[derive(Debug, Clone, Subcommand)]
enum PoliciesCommand {
    /// List policies: the built-in ones, then the project's own by name
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Print the document of a policy
    Show(PolicyArgs),
    /// Create or replace a policy
    #[command(after_help = r#"A policy is JSON, like
  {"Version": "5.0", "Statement": [
    {"Effect": "Allow", "Action": ["workspace:scripts:*"], "Resource": ["*"]},
    {"Effect": "Deny", "Action": ["workspace:scripts:execute"],
     "Resource": ["desktop:boss-*"]}]}
Actions that no policy allows are denied; Deny overrides Allow. docs/access.md lists actions and resources."#)]
    Put(PutArgs),
    /// Delete a policy that is bound to no principal
    #[command(visible_alias = "delete")]
    Rm(PolicyArgs),
}

#[derive(Debug, Clone, Args)]
struct PolicyArgs {
    /// Name of the policy
    #[arg(value_name = "POLICY")]
    name: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct PutArgs {
    /// Name of the policy
    #[arg(value_name = "POLICY")]
    name: String,
    /// JSON file with the policy document; - reads standard input
    #[arg(long, short = 'f', value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    file: PathBuf,
    #[command(flatten)]
    common: CommonArgs,
}

pub(in super::super) async fn policies(arguments: PoliciesArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(PoliciesCommand::Ls(arguments.list)) {
        PoliciesCommand::Ls(it) => ls(it).await,
        PoliciesCommand::Show(it) => show(it).await,
        PoliciesCommand::Put(it) => put(it).await,
        PoliciesCommand::Rm(it) => rm(it).await,
    }
}

async fn page(session: &Session, request: ListPoliciesRequest) -> Result<(Vec<Policy>, String), Error> {
    let page = session.access().list_policies(request).await;
    let page = page.map_err(|status| Error::of("cannot list policies", &status))?.into_inner();
    Ok((page.policies, page.next_page_token))
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    pages(&mut console, &arguments.paging, "no policies", async |page_size, page_token| {
        page(&session, ListPoliciesRequest { page_size, page_token }).await
    })
    .await
}

async fn show(arguments: PolicyArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let mut request = ListPoliciesRequest { page_size: PAGE, ..ListPoliciesRequest::default() };
    loop {
        let (policies, page_token) = page(&session, request.clone()).await?;
        if let Some(policy) = policies.into_iter().find(|policy| policy.name == arguments.name) {
            return console.show(&policy, &policy.name, |_, _| document(&policy));
        }
        if page_token.is_empty() {
            let failure = Error::refused(format!("policy {} does not exist", arguments.name));
            return Err(failure.try_next("graywave policies"));
        }
        request.page_token = page_token;
    }
}

/// Formats the document of a policy with one entry per line.
fn document(policy: &Policy) -> String {
    let json = serde_json::from_str::<serde_json::Value>(&policy.document);
    let text = json.map_or_else(|_| policy.document.clone(), |json| format!("{json:#}"));
    sanitize(&text) + "\n"
}

async fn put(arguments: PutArgs) -> Result<(), Error> {
    let text = read_unmarked(&arguments.file, "policy", MAX_BODY_BYTES)?;
    let (session, mut console) = arguments.common.open().await?;
    let request = PutPolicyRequest { name: arguments.name, document: text };
    // The call is idempotent, so a retry is safe.
    let stored = repeated(async || session.access().put_policy(request.clone()).await).await;
    let failed = |status| {
        let flags = [("name", "POLICY"), ("document", "--file")];
        Error::with_flags("cannot store the policy", &status, &flags)
    };
    let stored = stored.map_err(failed)?.into_inner().policy.unwrap_or_default();
    console.say(&format!("stored policy {}", stored.name));
    console.show(&stored, &stored.name, |_, _| document(&stored))
}

async fn rm(arguments: PolicyArgs) -> Result<(), Error> {
    let (session, console) = arguments.common.open().await?;
    let name = arguments.name;
    let deleted = session.access().delete_policy(DeletePolicyRequest { name: name.clone() }).await;
    deleted.map_err(|status| {
        let failure = Error::of(&format!("cannot delete policy {name}"), &status);
        match failure.reason().map(Reason::kind) {
            Some(ErrorKind::Conflict) => failure.try_next("graywave principals: lists their policies"),
            _ => failure,
        }
    })?;
    console.say(&format!("deleted policy {name}"));
    Ok(())
}

impl ListItem for Policy {
    const COLUMNS: &'static [Column] =
        &[Column::text("policy"), Column::text("kind"), Column::text("document").wide()];

    fn cells(&self) -> Vec<Cell> {
        vec![cell(&self.name), cell(if self.ready { "built-in" } else { "own" }), cell(&self.document)]
    }

    fn id(&self) -> &str {
        &self.name
    }
}
