//! `graywave admin enrolment-tokens`.

use clap::Subcommand;
use control::{Control, EnrolmentTerms, EnrolmentTokenRow, NO_LIMIT};
use domain::{
    enrolment::Assignment,
    ids::DesktopId,
    limits::{DEFAULT_ENROLMENT_TOKEN_HOURS, DEFAULT_ENROLMENT_TOKEN_USES, MAX_ENROLMENT_TOKEN_USES},
};
use serde_json::json;

use super::project::{ListArgs, Project, TokenArg, object, state, time};
use cli::{enrolment_hours, number};

/// Create, list and revoke enrolment tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrolmentTokens {
    /// Create an enrolment token and print it once, as JSON
    #[command(after_help = "\
Examples:
  graywave admin enrolment-tokens create --project acme --desktop desktop-1
  graywave admin enrolment-tokens create --project acme --uses 500

Copy the token to the machine and start its agent with --ca-file and \
--enrolment-token-file. A token without --desktop is for new desktops. \
A desktop with a valid certificate cannot enrol again until it is revoked.")]
    Create {
        #[command(flatten)]
        project: Project,
        /// Desktop id that may enrol [default: any desktop that does not exist yet]
        #[arg(long, value_name = "ID")]
        desktop: Option<DesktopId>,
        /// Maximum number of desktops that may enrol
        #[arg(long, value_name = "N", default_value_t = DEFAULT_ENROLMENT_TOKEN_USES,
              value_parser = number(1, MAX_ENROLMENT_TOKEN_USES, 500), conflicts_with = "desktop")]
        uses: i64,
        /// Lifetime in whole hours, at most 720h: 72h or 3d [default: 24h]
        #[arg(long = "expires", value_name = "DURATION", value_parser = enrolment_hours)]
        expires_in_hours: Option<i64>,
        /// Pool of the desktops, also if their agents report another [default: as the agent says]
        #[arg(long, value_name = "POOL")]
        pool: Option<String>,
        /// Availability zone of the desktops [default: as the agent says]
        #[arg(long, value_name = "ZONE")]
        zone: Option<String>,
        /// Operator tags of the desktops: ring=early,owner=ann
        #[arg(long = "tag", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = cli::pair)]
        tags: Vec<(String, String)>,
        /// Print only the token
        #[arg(long)]
        only_token: bool,
    },
    /// List enrolment tokens
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Revoke an enrolment token permanently; enrolled desktops stay enrolled
    Revoke(TokenArg),
}

pub(super) async fn enrolment_tokens(control: &Control, command: EnrolmentTokens) -> anyhow::Result<String> {
    match command {
        EnrolmentTokens::Create {
            project,
            desktop: desktop_id,
            uses,
            expires_in_hours,
            pool: pool_id,
            zone: availability_zone,
            tags,
            only_token,
        } => {
            let tags = tags.into_iter().collect();
            let assignment = Assignment { pool_id, availability_zone, tags };
            let expires_in_hours = expires_in_hours.unwrap_or(DEFAULT_ENROLMENT_TOKEN_HOURS);
            let terms = EnrolmentTerms { desktop_id, uses, expires_in_hours, assignment };
            let made = control.create_enrolment_token(project.actor(), terms).await?;
            if only_token {
                return Ok(format!("{}\n", made.token));
            }
            let terms = made.row.token;
            Ok(object(&json!({
                "project_id": project.id, "token_id": made.row.token_id.simple().to_string(), "token": made.token,
                "pool_id": terms.assignment.pool_id, "availability_zone": terms.assignment.availability_zone,
                "tags": terms.assignment.tags, "desktop_id": terms.desktop_id, "uses": terms.max_uses, "expires_at": terms.expires_at,
            })))
        }
        EnrolmentTokens::Ls(ListArgs { project, format }) => {
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
            Ok(format.render(&["token id", "desktop", "used", "created", "expires", "state"], rows))
        }
        EnrolmentTokens::Revoke(TokenArg { token_id, project }) => {
            control.revoke_enrolment_token(project.actor(), &token_id).await?;
            Ok(format!("revoked enrolment token {token_id}\n"))
        }
    }
}
