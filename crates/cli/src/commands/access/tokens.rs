//! `graywave tokens`.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use proto::admin::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Token};

use super::{
    super::{CommonArgs, ListArgs},
    new_credential::NewCredential,
    state::{expiry, state},
};
use crate::{
    Error,
    format::time,
    output::{Cell, Column, ListItem, cell, pages},
};

/// Arguments of `graywave tokens`; without a subcommand, the tokens are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TokensArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<TokensCommand>,
}

/// Subcommands of `graywave tokens`.
#[derive(Debug, Clone, Subcommand)]
enum TokensCommand {
    /// List tokens, oldest first; their secrets are not stored
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Create a token for a principal and print it once
    #[command(after_help = "\
Examples:
  graywave tokens create ann                          valid for 90 days
  graywave tokens create ci --expires 12h > token     the token alone
  graywave tokens create ci -o json                   with its id and expiry")]
    Create(CreateArgs),
    /// Revoke a token permanently
    Revoke(RevokeArgs),
}

#[derive(Debug, Clone, Args)]
struct CreateArgs {
    #[command(flatten)]
    new: NewCredential,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct RevokeArgs {
    /// Token id, as listed
    #[arg(value_name = "TOKEN_ID")]
    token_id: String,
    #[command(flatten)]
    common: CommonArgs,
}

pub(in super::super) async fn tokens(arguments: TokensArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(TokensCommand::Ls(arguments.list)) {
        TokensCommand::Ls(it) => ls(it).await,
        TokensCommand::Create(it) => create(it).await,
        TokensCommand::Revoke(it) => revoke(it).await,
    }
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    pages(&mut console, &arguments.paging, "no tokens", async |page_size, page_token| {
        let page = session.access().list_tokens(ListTokensRequest { page_size, page_token }).await;
        let page = page.map_err(|status| Error::of("cannot list tokens", &status))?.into_inner();
        Ok((page.tokens, page.next_page_token))
    })
    .await
}

async fn create(arguments: CreateArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let request = CreateTokenRequest {
        expire_time: arguments.new.expire_time(SystemTime::now()),
        never_expires: arguments.new.never_expires(),
        principal: arguments.new.principal,
    };
    let made = session.access().create_token(request).await;
    let failed = |status| {
        let flags =
            [("principal", "PRINCIPAL"), ("expire_time", "--expires"), ("never_expires", "--expires")];
        Error::with_flags("cannot create a token", &status, &flags)
    };
    let made = made.map_err(failed)?.into_inner();
    let token = made.token.clone().unwrap_or_default();
    let until = match token.expire_time {
        None => "until it is revoked".to_owned(),
        Some(_) => format!("until {}", time(token.expire_time.as_ref())),
    };
    console.say(&format!("token {} of {}, valid {until}; shown once:", token.token_id, token.principal));
    console.show(&made, &token.token_id, |_, _| format!("{}\n", made.secret))
}

async fn revoke(arguments: RevokeArgs) -> Result<(), Error> {
    let (session, console) = arguments.common.open().await?;
    let token_id = arguments.token_id;
    let revoked = session.access().revoke_token(RevokeTokenRequest { token_id: token_id.clone() }).await;
    revoked.map_err(|status| {
        let flags = [("token_id", "TOKEN_ID")];
        Error::with_flags(&format!("cannot revoke token {token_id}"), &status, &flags)
    })?;
    console.say(&format!("revoked token {token_id}"));
    Ok(())
}

impl ListItem for Token {
    const COLUMNS: &'static [Column] = &[
        Column::text("token id"),
        Column::text("principal"),
        Column::text("state"),
        Column::text("expires"),
        Column::text("created").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.token_id),
            cell(&self.principal),
            state(self.expire_time.as_ref(), self.revoke_time.as_ref()),
            cell(expiry(self.expire_time.as_ref())),
            cell(time(self.create_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.token_id
    }
}
