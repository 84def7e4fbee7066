//! Sign-in of a command line through the session of a browser.
//!
//! The person allows it in the browser, and a code goes to the command line on the same machine.
//! Only the command line that asked can exchange the code: it has the secret of the challenge.

use domain::{Error, Reason, Timestamp, ids::ProjectId, session::SIGN_IN_CODE_LASTS};
use sha2::{Digest as _, Sha256};
use store::{
    audit::{self, NewEntry},
    credential::{self, Terms},
    sign_in_code::{self, CodeHolder, TokenTerms},
};

use super::{
    NewToken, RequestOrigin, Session,
    credentials::{TOKEN_CHARS, random},
    login_guard::unknown_credential,
    principals::suspend_project,
};
use crate::Control;

/// Names of the audit's entries.
const ALLOW: &str = "graywave:signInCodes:create";
const CREATE_TOKEN: &str = "graywave:tokens:create";

/// Token of a command line, which is shown once.
#[derive(Debug)]
pub struct CliToken {
    /// The token.
    pub token: NewToken,
    /// Project of the principal.
    pub project_id: ProjectId,
    /// Principal of the session.
    pub principal: String,
    /// End of the token: that of the session.
    pub expires_at: Timestamp,
}

impl Control {
    /// Creates a code with which a command line gets a token of the session's principal. The token
    /// ends with the session at the latest.
    ///
    /// # Errors
    ///
    /// `PrincipalNotFound` for the session of a token of the configuration, whose principal is not
    /// in the database.
    pub async fn allow_cli(
        &self,
        session: &Session,
        challenge_sha256: [u8; 32],
        from: &RequestOrigin,
    ) -> Result<String, Error> {
        let (project_id, principal) = (&session.identity.project_id, &session.identity.principal);
        let mut tx = self.store.begin().await?;
        if credential::principal(&mut tx, project_id.as_str(), principal).await?.is_none() {
            let message = format!(
                "principal {principal:?} is not in the database and gets no further token: give the command its own token"
            );
            return Err(Error::field(Reason::PrincipalNotFound, "principal", message));
        }
        let code = random(TOKEN_CHARS);
        let holder = CodeHolder { project_id: project_id.clone(), principal: principal.clone() };
        let terms = TokenTerms { challenge_sha256, expires_at: session.expires_at };
        let expires_at = self.environment.now() + SIGN_IN_CODE_LASTS;
        let hash = Sha256::digest(&code).into();
        sign_in_code::insert(&mut tx, &hash, &holder, Some(terms), expires_at).await?;
        let entry = self.session_entry(project_id, principal, &session.identity.credential, ALLOW, from);
        let resource = format!("principal:{principal}");
        audit::insert(&mut tx, &NewEntry { resource: &resource, ..entry }).await?;
        self.store.commit(tx).await?;
        Ok(code)
    }

    /// Exchanges a code and the secret of its challenge for a token.
    ///
    /// # Errors
    ///
    /// `CredentialUnknown` if the code is unknown, used or expired, or if the secret is another
    /// one.
    pub async fn exchange_cli_code(
        &self,
        code: &[u8],
        verifier: &[u8],
        from: &RequestOrigin,
    ) -> Result<CliToken, Error> {
        let now = self.environment.now();
        let hash = Sha256::digest(code).into();
        let permit = self.login_guard.admit(&hash, &from.address, now).await?;
        let mut tx = self.store.begin().await?;
        let taken =
            sign_in_code::take_for_token(&mut tx, &hash, &Sha256::digest(verifier).into(), now).await?;
        drop(permit);
        let Some((CodeHolder { project_id, principal }, expires_at)) = taken else {
            self.login_guard.record_unknown(hash, &from.address, now);
            return Err(unknown_credential("the code is unknown, used or expired: a code is valid once"));
        };
        suspend_project(&mut tx, &project_id).await?;
        let token = NewToken::random(self.environment.id());
        let sha256 = Sha256::digest(&token.token).into();
        let terms =
            Terms { project_id: &project_id, principal: &principal, expires_at: Some(expires_at), now };
        credential::insert_token(&mut tx, token.token_id, &sha256, terms).await?;
        let resource = format!("token:{} principal:{principal}", token.token_id.simple());
        let entry = self.session_entry(&project_id, &principal, "code", CREATE_TOKEN, from);
        audit::insert(&mut tx, &NewEntry { resource: &resource, ..entry }).await?;
        self.store.commit(tx).await?;
        Ok(CliToken { token, project_id, principal, expires_at })
    }
}
