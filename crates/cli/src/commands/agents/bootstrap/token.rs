//! The enrolment token of a bootstrap: the user's own, or a new one for these hosts that is revoked
//! at the end.

use std::path::PathBuf;

use clap::Args;
use clap_complete::{ArgValueCompleter, PathCompleter};
use mtls::EnrolmentToken as TokenText;
use proto::admin::{CreateEnrolmentTokenRequest, RevokeEnrolmentTokenRequest};

use crate::{
    Error,
    args::{pair, read_unmarked},
    client::Session,
    commands::CommonArgs,
    output::Console,
};

/// Lifetime of a new token in hours. It is revoked earlier, at the end of the bootstrap.
const LIFETIME_HOURS: i64 = 24;
/// Maximum size of a token file, in bytes.
const MAX_FILE_BYTES: usize = 1024;

/// Flags of the token.
#[derive(Debug, Clone, Args)]
pub(super) struct TokenFlags {
    /// File with an enrolment token for all hosts [default: a new token, revoked at the end]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pool", "zone", "tags"],
          add = ArgValueCompleter::new(PathCompleter::file()))]
    token_file: Option<PathBuf>,
    /// Pool of the new desktops [default: as the agent says]
    #[arg(long, value_name = "POOL", default_value_t, hide_default_value = true)]
    pool: String,
    /// Availability zone of the new desktops [default: as the agent says]
    #[arg(long, value_name = "ZONE", default_value_t, hide_default_value = true)]
    zone: String,
    /// Operator tags of the new desktops: ring=early,owner=ann
    #[arg(long = "tag", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    tags: Vec<(String, String)>,
}

/// A token, and the session that revokes it if it is new.
pub(super) struct Token {
    secret: String,
    made: Option<(Session, String)>,
}

impl TokenFlags {
    /// Reads the token file, or creates a token for this number of hosts.
    pub(super) async fn obtain(
        self,
        hosts: usize,
        common: &CommonArgs,
        console: &Console,
    ) -> Result<Token, Error> {
        if let Some(file) = self.token_file {
            let secret = read_unmarked(&file, "token", MAX_FILE_BYTES)?.trim().to_owned();
            TokenText::read(&secret).map_err(|error| Error::misused(format!("--token-file: {error}")))?;
            return Ok(Token { secret, made: None });
        }
        let (session, _) = common.open().await?;
        let request = CreateEnrolmentTokenRequest {
            uses: Some(i64::try_from(hosts).unwrap_or(i64::MAX)),
            expires_in_hours: Some(LIFETIME_HOURS),
            pool_id: self.pool,
            availability_zone: self.zone,
            tags: self.tags.into_iter().collect(),
            ..CreateEnrolmentTokenRequest::default()
        };
        let made = session.enrolment().create_enrolment_token(request).await.map_err(|status| {
            let flags = [("pool_id", "--pool"), ("availability_zone", "--zone"), ("tags", "--tag")];
            Error::with_flags("cannot create an enrolment token", &status, &flags)
        })?;
        let made = made.into_inner();
        let token_id = made.enrolment_token.unwrap_or_default().token_id;
        console
            .say(&format!("created enrolment token {token_id} for {hosts} hosts; it is revoked at the end"));
        Ok(Token { secret: made.secret, made: Some((session, token_id)) })
    }
}

impl Token {
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Revokes a new token. Enrolled desktops stay enrolled.
    pub(super) async fn revoke(self, console: &Console) {
        let Some((session, token_id)) = self.made else { return };
        let request = RevokeEnrolmentTokenRequest { token_id: token_id.clone() };
        if let Err(status) = session.enrolment().revoke_enrolment_token(request).await {
            console.say(&format!(
                "warning: enrolment token {token_id} is still valid: {}; revoke it: graywave enrolment-tokens revoke \
                 {token_id}",
                status.message()
            ));
        }
    }
}
