//! `graywave admin keys` and `graywave admin tokens`.

use anyhow::ensure;
use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use control::{Control, CredentialRow, NO_LIMIT, Rewrapped};
use domain::{Timestamp, token_life::token_expiry};
use serde_json::json;

use super::project::{ListArgs, ListFormat, Project, TokenArg, object, state, time};
use cli::{DAYS_OR_HOURS, duration};

/// Terms of a new credential.
#[derive(Debug, Args)]
pub(crate) struct NewCredential {
    #[command(flatten)]
    project: Project,
    /// Principal of the credential
    #[arg(long, value_name = "NAME")]
    principal: String,
    /// Lifetime, like 30d or 12h, or `never` [default: 90d for tokens, never for keys]
    #[arg(long = "expires", value_name = "DURATION", value_parser = lifetime)]
    life: Option<Lifetime>,
}

/// Lifetime of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    For(TimeDelta),
    Never,
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime::Never);
    }
    let life = duration(DAYS_OR_HOURS)(text).map_err(|error| format!("{error}, or `never`"))?;
    TimeDelta::from_std(life).map(Lifetime::For).map_err(|error| error.to_string())
}

impl NewCredential {
    /// Expiry as the command names it; `None` for never and for no time.
    fn expires_at(&self) -> Option<Timestamp> {
        match self.life {
            Some(Lifetime::For(life)) => Utc::now().checked_add_signed(life),
            Some(Lifetime::Never) | None => None,
        }
    }

    /// Expiry of a token.
    fn token_expires_at(&self) -> Result<Option<Timestamp>, domain::Error> {
        token_expiry(self.expires_at(), self.life == Some(Lifetime::Never), Utc::now())
    }
}

/// Create, list and revoke access keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create an access key and print it once, as JSON
    Create(NewCredential),
    /// List access keys
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Revoke an access key permanently
    Revoke {
        /// Access key id
        access_key: String,
        #[command(flatten)]
        project: Project,
    },
    /// Encrypt the secrets of all projects with the first master key
    ///
    /// Needed once after a new master key was put first in `access.master_keys`. Afterwards the old
    /// one can be removed.
    Rewrap,
}

/// Create, list and revoke bearer tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Create a token and print it once, as JSON
    Create {
        #[command(flatten)]
        new: NewCredential,
        /// Print only the token
        #[arg(long)]
        only_token: bool,
    },
    /// List tokens
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Revoke a token permanently
    Revoke(TokenArg),
}

pub(super) async fn keys(control: &Control, command: Keys) -> anyhow::Result<String> {
    match command {
        Keys::Create(new) => {
            let expires_at = new.expires_at();
            let made = control.create_key(new.project.actor(), &new.principal, expires_at).await?;
            Ok(object(&json!({
                "project_id": new.project.id, "principal": new.principal, "access_key": made.access_key,
                "secret_key": made.secret_key, "expires_at": expires_at,
            })))
        }
        Keys::Ls(ListArgs { project, format }) => {
            Ok(credentials(format, "access key", control.list_keys(project.actor(), None, NO_LIMIT).await?))
        }
        Keys::Revoke { access_key, project } => {
            control.revoke_key(project.actor(), &access_key).await?;
            Ok(format!("revoked access key {access_key}\n"))
        }
        Keys::Rewrap => rewrapped(&control.rewrap_keys().await?),
    }
}

pub(super) async fn tokens(control: &Control, command: Tokens) -> anyhow::Result<String> {
    match command {
        Tokens::Create { new, only_token } => {
            let expires_at = new.token_expires_at()?;
            let made = control.create_token(new.project.actor(), &new.principal, expires_at).await?;
            if only_token {
                return Ok(format!("{}\n", made.token));
            }
            Ok(object(&json!({
                "project_id": new.project.id, "principal": new.principal,
                "token_id": made.token_id.simple().to_string(), "token": made.token, "expires_at": expires_at,
            })))
        }
        Tokens::Ls(ListArgs { project, format }) => {
            Ok(credentials(format, "token id", control.list_tokens(project.actor(), None, NO_LIMIT).await?))
        }
        Tokens::Revoke(TokenArg { token_id, project }) => {
            control.revoke_token(project.actor(), &token_id).await?;
            Ok(format!("revoked token {token_id}\n"))
        }
    }
}

fn rewrapped(result: &Rewrapped) -> anyhow::Result<String> {
    let Rewrapped { rewrapped, unreadable } = result;
    ensure!(
        unreadable.is_empty(),
        "{rewrapped} secret keys are encrypted with the first master key; {} cannot be decrypted with \
         access.master_keys: {}. Add their master key, or revoke them",
        unreadable.len(),
        unreadable.join(", ")
    );
    Ok(format!("{rewrapped} secret keys are now encrypted with the first master key\n"))
}

fn credentials(format: ListFormat, what: &'static str, rows: Vec<CredentialRow>) -> String {
    let rows = rows.into_iter().map(|row| {
        let state = state(row.expires_at, row.revoked_at);
        vec![row.id, row.principal, time(Some(row.created_at)), time(row.expires_at), state]
    });
    format.render(&[what, "principal", "created", "expires", "state"], rows)
}
