//! `graywave enrolment-tokens`.

use clap::{Args, Subcommand};
use proto::admin::{EnrolmentToken, ListEnrolmentTokensRequest, RevokeEnrolmentTokenRequest};

use super::{
    super::{CommonArgs, ListArgs, desktops::EnrolArgs, desktops::enrol},
    state::state,
};
use crate::{
    Error,
    format::{pairs, time},
    output::{Cell, Column, ListItem, cell, pages},
};

/// Arguments of `graywave enrolment-tokens`; without a subcommand, the tokens are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EnrolmentTokensArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<EnrolmentTokensCommand>,
}

/// Subcommands of `graywave enrolment-tokens`.
#[derive(Debug, Clone, Subcommand)]
enum EnrolmentTokensCommand {
    /// List enrolment tokens, oldest first
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Create an enrolment token and print it once, like `graywave desktops enrol`
    Create(EnrolArgs),
    /// Revoke an enrolment token permanently; enrolled desktops stay enrolled
    Revoke(RevokeArgs),
}

#[derive(Debug, Clone, Args)]
struct RevokeArgs {
    /// Token id, as listed
    #[arg(value_name = "TOKEN_ID")]
    token_id: String,
    #[command(flatten)]
    common: CommonArgs,
}

pub(in super::super) async fn enrolment_tokens(arguments: EnrolmentTokensArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(EnrolmentTokensCommand::Ls(arguments.list)) {
        EnrolmentTokensCommand::Ls(it) => ls(it).await,
        EnrolmentTokensCommand::Create(it) => enrol(it).await,
        EnrolmentTokensCommand::Revoke(it) => revoke(it).await,
    }
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    pages(&mut console, &arguments.paging, "no enrolment tokens", async |page_size, page_token| {
        let request = ListEnrolmentTokensRequest { page_size, page_token };
        let page = session.enrolment().list_enrolment_tokens(request).await;
        let page = page.map_err(|status| Error::of("cannot list enrolment tokens", &status))?.into_inner();
        Ok((page.enrolment_tokens, page.next_page_token))
    })
    .await
}

async fn revoke(arguments: RevokeArgs) -> Result<(), Error> {
    let (session, console) = arguments.common.open().await?;
    let token_id = arguments.token_id;
    let request = RevokeEnrolmentTokenRequest { token_id: token_id.clone() };
    let revoked = session.enrolment().revoke_enrolment_token(request).await;
    revoked.map_err(|status| {
        let flags = [("token_id", "TOKEN_ID")];
        Error::with_flags(&format!("cannot revoke enrolment token {token_id}"), &status, &flags)
    })?;
    console.say(&format!("revoked enrolment token {token_id}"));
    Ok(())
}

impl ListItem for EnrolmentToken {
    const COLUMNS: &'static [Column] = &[
        Column::text("token id"),
        Column::text("desktop"),
        Column::text("used"),
        Column::text("state"),
        Column::text("expires"),
        Column::text("created").wide(),
        Column::text("pool").wide(),
        Column::text("zone").wide(),
        Column::text("tags").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        let is_used_up = self.uses >= self.max_uses && self.revoke_time.is_none();
        vec![
            cell(&self.token_id),
            cell(if self.desktop_id.is_empty() { "any" } else { &self.desktop_id }),
            cell(format!("{} of {}", self.uses, self.max_uses)),
            match is_used_up {
                true => Cell::word("used up"),
                false => state(self.expire_time.as_ref(), self.revoke_time.as_ref()),
            },
            cell(time(self.expire_time.as_ref())),
            cell(time(self.create_time.as_ref())),
            cell(&self.pool_id),
            cell(&self.availability_zone),
            cell(pairs(&self.tags)),
        ]
    }

    fn id(&self) -> &str {
        &self.token_id
    }
}
