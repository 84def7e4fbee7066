//! `graywave principals`.

use clap::{Args, Subcommand};
use proto::admin::{ListPrincipalsRequest, Principal, PutPrincipalRequest};

use super::super::{CommonArgs, ListArgs};
use crate::{
    Error,
    client::repeated,
    format::{fact, facts, time},
    output::{Cell, Column, ListItem, cell, pages},
};

/// Arguments of `graywave principals`; without a subcommand, the principals are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PrincipalsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<PrincipalsCommand>,
}

/// Subcommands of `graywave principals`.
#[derive(Debug, Clone, Subcommand)]
enum PrincipalsCommand {
    /// List principals by name
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Create a principal, or replace the policies of an existing one
    #[command(after_help = "\
Built-in policies: reader (read all but audit and access), operator (reader, and save scripts, run, \
retry, stop, pause, approve and freeze), admin (everything). `graywave policies put` creates others.

Examples:
  graywave principals put ann --policy operator
  graywave principals put ci --policy reader,nightly-patches")]
    Put(PutArgs),
}

#[derive(Debug, Clone, Args)]
struct PutArgs {
    /// Name of the person or service
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    /// Policy to bind; repeat or separate by commas
    #[arg(long = "policy", value_name = "NAME", value_delimiter = ',', required = true)]
    policies: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

pub(in super::super) async fn principals(arguments: PrincipalsArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(PrincipalsCommand::Ls(arguments.list)) {
        PrincipalsCommand::Ls(it) => ls(it).await,
        PrincipalsCommand::Put(it) => put(it).await,
    }
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    pages(&mut console, &arguments.paging, "no principals", async |page_size, page_token| {
        let page = session.access().list_principals(ListPrincipalsRequest { page_size, page_token }).await;
        let page = page.map_err(|status| Error::of("cannot list principals", &status))?.into_inner();
        Ok((page.principals, page.next_page_token))
    })
    .await
}

async fn put(arguments: PutArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let request = PutPrincipalRequest { principal: arguments.principal, policies: arguments.policies };
    // The call is idempotent, so a retry is safe.
    let stored = repeated(async || session.access().put_principal(request.clone()).await).await;
    let failed =
        |status| Error::with_flags("cannot store the principal", &status, &[("principal", "PRINCIPAL")]);
    let stored = stored.map_err(failed)?.into_inner().principal.unwrap_or_default();
    console.show(&stored, &stored.principal, |_, _| {
        facts(&[
            fact("principal", &stored.principal),
            fact("policies", stored.policies.join(", ")),
            fact("created", time(stored.create_time.as_ref())),
        ])
    })
}

impl ListItem for Principal {
    const COLUMNS: &'static [Column] =
        &[Column::text("principal"), Column::text("policies"), Column::text("created")];

    fn cells(&self) -> Vec<Cell> {
        vec![cell(&self.principal), cell(self.policies.join(", ")), cell(time(self.create_time.as_ref()))]
    }

    fn id(&self) -> &str {
        &self.principal
    }
}
