//! `graywave keys`.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use proto::admin::{CreateKeyRequest, Key, ListKeysRequest, RevokeKeyRequest};

use super::{
    super::{CommonArgs, ListArgs},
    new_credential::NewCredential,
    state::{expiry, state},
};
use crate::{
    Error,
    format::{fact, facts, time},
    output::{Cell, Column, ListItem, cell, pages},
};

/// Arguments of `graywave keys`; without a subcommand, the access keys are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct KeysArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<KeysCommand>,
}

/// Subcommands of `graywave keys`.
#[derive(Debug, Clone, Subcommand)]
enum KeysCommand {
    /// List access keys by name, without their secrets
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Create an access key for a principal and print it once
    #[command(after_help = "\
Examples:
  graywave keys create ci                  valid until revoked
  graywave keys create ci --expires 90d -o json")]
    Create(CreateArgs),
    /// Revoke an access key permanently
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
    /// Public name of the key
    #[arg(value_name = "ACCESS_KEY")]
    access_key: String,
    #[command(flatten)]
    common: CommonArgs,
}

pub(in super::super) async fn keys(arguments: KeysArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(KeysCommand::Ls(arguments.list)) {
        KeysCommand::Ls(it) => ls(it).await,
        KeysCommand::Create(it) => create(it).await,
        KeysCommand::Revoke(it) => revoke(it).await,
    }
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    pages(&mut console, &arguments.paging, "no access keys", async |page_size, page_token| {
        let page = session.access().list_keys(ListKeysRequest { page_size, page_token }).await;
        let page = page.map_err(|status| Error::of("cannot list access keys", &status))?.into_inner();
        Ok((page.keys, page.next_page_token))
    })
    .await
}

async fn create(arguments: CreateArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    // Without an expiry, a key is valid until revoked: `never` is the default.
    let request = CreateKeyRequest {
        expire_time: arguments.new.expire_time(SystemTime::now()),
        principal: arguments.new.principal,
    };
    let made = session.access().create_key(request).await;
    let failed = |status| {
        let flags = [("principal", "PRINCIPAL"), ("expire_time", "--expires")];
        Error::with_flags("cannot create an access key", &status, &flags)
    };
    let made = made.map_err(failed)?.into_inner();
    let key = made.key.clone().unwrap_or_default();
    console.say(&format!("access key of {}; its secret is shown once:", key.principal));
    console.show(&made, &key.access_key, |_, _| {
        facts(&[
            fact("access key", &key.access_key),
            fact("secret key", &made.secret_key),
            fact("expires", expiry(key.expire_time.as_ref())),
        ])
    })
}

async fn revoke(arguments: RevokeArgs) -> Result<(), Error> {
    let (session, console) = arguments.common.open().await?;
    let access_key = arguments.access_key;
    let revoked = session.access().revoke_key(RevokeKeyRequest { access_key: access_key.clone() }).await;
    revoked.map_err(|status| {
        let flags = [("access_key", "ACCESS_KEY")];
        Error::with_flags(&format!("cannot revoke access key {access_key}"), &status, &flags)
    })?;
    console.say(&format!("revoked access key {access_key}"));
    Ok(())
}

impl ListItem for Key {
    const COLUMNS: &'static [Column] = &[
        Column::text("access key"),
        Column::text("principal"),
        Column::text("state"),
        Column::text("expires"),
        Column::text("created").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.access_key),
            cell(&self.principal),
            state(self.expire_time.as_ref(), self.revoke_time.as_ref()),
            cell(expiry(self.expire_time.as_ref())),
            cell(time(self.create_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.access_key
    }
}
