//! `graywave enrolment-tokens`.

use clap::Subcommand;
use control::{Control, EnrolmentTokenRow, NO_LIMIT};
use domain::{
    ids::DesktopId,
    limits::{DEFAULT_ENROLMENT_TOKEN_HOURS, DEFAULT_ENROLMENT_TOKEN_USES},
};
use serde_json::json;

use super::project::{Project, TokenNamed, object, state, time};
use crate::table::table;

/// Make, list and revoke enrolment tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrolmentTokens {
    /// Make an enrolment token and print it, once, as JSON
    #[command(after_help = "\
Examples:
  graywave enrolment-tokens create --project acme --desktop desktop-1
  graywave enrolment-tokens create --project acme --uses 500 --expires-in-hours 72     for an image
Bring the token to the machine in a file and start its agent with --ca-file and --enrolment-token-file. A desktop that has a
good certificate cannot be enrolled again before it is revoked.")]
    Create {
        #[command(flatten)]
        project: Project,
        /// The one desktop it is for; any that has no certificate when it is left out
        #[arg(long, value_name = "ID")]
        desktop: Option<DesktopId>,
        /// Desktops that it enrols
        #[arg(long, value_name = "N", default_value_t = DEFAULT_ENROLMENT_TOKEN_USES, conflicts_with = "desktop")]
        uses: i64,
        /// Good for so many hours, 720 at most
        #[arg(long, value_name = "HOURS", default_value_t = DEFAULT_ENROLMENT_TOKEN_HOURS)]
        expires_in_hours: i64,
        /// Print the token alone, for scripts
        #[arg(long)]
        only_token: bool,
    },
    /// List a project's enrolment tokens
    List {
        #[command(flatten)]
        project: Project,
    },
    /// Revoke an enrolment token for good; desktops that it has enrolled stay
    Revoke(TokenNamed),
}

pub(super) async fn enrolment_tokens(control: &Control, command: EnrolmentTokens) -> anyhow::Result<String> {
    match command {
        EnrolmentTokens::Create { project, desktop, uses, expires_in_hours, only_token } => {
            let made =
                control.create_enrolment_token(project.actor(), desktop, uses, expires_in_hours).await?;
            if only_token {
                return Ok(format!("{}\n", made.token));
            }
            let terms = made.row.token;
            Ok(object(&json!({
                "project_id": project.id, "token_id": made.row.token_id.simple().to_string(), "token": made.token,
                "desktop_id": terms.desktop_id, "uses": terms.max_uses, "expires_at": terms.expires_at,
            })))
        }
        EnrolmentTokens::List { project } => {
            let found = control.list_enrolment_tokens(project.actor(), None, NO_LIMIT).await?;
            let rows = found.into_iter().map(|EnrolmentTokenRow { token_id, token }| {
                let state = if token.uses >= token.max_uses && token.revoked_at.is_none() {
                    "used up".to_owned()
                } else {
                    state(Some(token.expires_at), token.revoked_at)
                };
                let desktop = token.desktop_id.map_or_else(|| "any".to_owned(), DesktopId::into_string);
                let uses = format!("{} of {}", token.uses, token.max_uses);
                let (created, expires) = (time(Some(token.created_at)), time(Some(token.expires_at)));
                vec![token_id.simple().to_string(), desktop, uses, created, expires, state]
            });
            Ok(table(&["token id", "desktop", "used", "created", "expires", "state"], rows))
        }
        EnrolmentTokens::Revoke(TokenNamed { token_id, project }) => {
            control.revoke_enrolment_token(project.actor(), &token_id).await?;
            Ok(format!("enrolment token {token_id} is revoked\n"))
        }
    }
}
