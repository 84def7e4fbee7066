//! Enrolment tokens: creation, listing and revocation. Also revokes a desktop's certificates. The
//! scheduler performs the enrolment.

use domain::{
    Error, Reason,
    authz::{ALL, Action, Resource},
    enrolment::{Assignment, EnrolmentToken, token_expiry},
    ids::DesktopId,
    limits,
};
use store::{
    enrolment,
    enrolment::{EnrolmentTokenRow, Revoked},
    notify::{self, Wake},
};
use uuid::Uuid;

use super::{
    Actor,
    credentials::{TOKEN_CHARS, random},
    principals::{check_project, suspend_project},
};
use crate::{Control, change::Begun};

/// Terms of a new enrolment token.
#[derive(Debug, Clone)]
pub struct EnrolmentTerms {
    /// The only desktop that it enrols; `None` for new desktops.
    pub desktop_id: Option<DesktopId>,
    /// Maximum number of desktops.
    pub uses: i64,
    /// Validity in hours.
    pub expires_in_hours: i64,
    /// What it fixes of its desktops.
    pub assignment: Assignment,
}

/// A new enrolment token. Its text is shown once and never stored.
#[derive(Clone)]
pub struct NewEnrolmentToken {
    /// Stored row of the token, with its id and its limits.
    pub row: EnrolmentTokenRow,
    /// Secret text with which an agent signs; its beginning is the id.
    pub token: String,
}

impl std::fmt::Debug for NewEnrolmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewEnrolmentToken {}", self.row.token_id.simple())
    }
}

impl Control {
    /// Creates an enrolment token. It is either for a bounded number of new desktops or for one
    /// named desktop.
    pub async fn create_enrolment_token(
        &self,
        actor: Actor<'_>,
        terms: EnrolmentTerms,
    ) -> Result<NewEnrolmentToken, Error> {
        let EnrolmentTerms { desktop_id, uses, expires_in_hours, assignment } = terms;
        assignment.check()?;
        let desktop = desktop_id.as_ref().map_or(ALL, DesktopId::as_str);
        actor.check_on(Action::CreateEnrolmentToken, Resource::Desktop(desktop))?;
        let now = self.environment.now();
        let row = EnrolmentTokenRow {
            token_id: self.environment.id(),
            token: EnrolmentToken {
                created_at: now,
                expires_at: token_expiry(expires_in_hours, now)?,
                revoked_at: None,
                max_uses: limits::enrolment_uses(uses, desktop_id.is_some())?,
                uses: 0,
                desktop_id,
                assignment,
            },
        };
        let token = format!("{}{}", row.token_id.simple(), random(TOKEN_CHARS));
        let public_key = mtls::EnrolmentToken::read(&token).map_err(Error::unreadable)?.public_key();
        let mut tx = self.begin_unrepeatable(actor).await?;
        suspend_project(&mut tx, actor.project_id()).await?;
        enrolment::insert_token(&mut tx, actor.project_id(), &row, &public_key).await?;
        let desktop = row.token.desktop_id.as_ref().map_or(ALL, DesktopId::as_str);
        let resource = format!("enrolmentToken:{} desktop:{desktop}", row.token_id.simple());
        self.managed(tx, actor, Action::CreateEnrolmentToken, &resource, "").await?;
        Ok(NewEnrolmentToken { row, token })
    }

    /// Lists a project's enrolment tokens without their secrets, including expired and revoked
    /// ones. The oldest come first, starting after `after`.
    pub async fn list_enrolment_tokens(
        &self,
        actor: Actor<'_>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<EnrolmentTokenRow>, Error> {
        actor.check(Action::ListEnrolmentTokens)?;
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, actor.project_id()).await?;
        Ok(enrolment::list_tokens(&mut connection, actor.project_id(), after, limit).await?)
    }

    /// Revokes an enrolment token: no machine can enrol with it any more. Enrolled machines are not
    /// affected.
    pub async fn revoke_enrolment_token(&self, actor: Actor<'_>, token_id: &str) -> Result<(), Error> {
        actor.check(Action::DeleteEnrolmentToken)?;
        let missing = || {
            Error::new(
                Reason::CredentialNotFound,
                format!("enrolment token {token_id:?} does not exist or is revoked already"),
            )
        };
        let id = Uuid::try_parse(token_id).map_err(|_| missing())?;
        let Begun::New(mut tx) = self.begin_managed(actor).await? else { return Ok(()) };
        if enrolment::revoke_token(&mut tx, actor.project_id(), id, self.environment.now()).await? {
            let resource = format!("enrolmentToken:{}", id.simple());
            return self.managed(tx, actor, Action::DeleteEnrolmentToken, &resource, "").await;
        }
        Err(missing())
    }

    /// Revokes every certificate that a desktop has now, known or not. Its connection ends, and
    /// these certificates open no new one. Only an enrolment token that is created later enrols the
    /// desktop again.
    pub async fn revoke_desktop(&self, actor: Actor<'_>, desktop_id: &DesktopId) -> Result<Revoked, Error> {
        actor.check_on(Action::RevokeDesktop, Resource::Desktop(desktop_id.as_str()))?;
        let mut tx = match self.begin_managed(actor).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return parse_revoked(&answer),
        };
        let revoked =
            enrolment::revoke_desktop(&mut tx, actor.project_id(), desktop_id, self.environment.now())
                .await?;
        notify::send(&mut tx, Wake::Presence).await?;
        let (resource, answer) = (format!("desktop:{desktop_id}"), revoked_answer(revoked));
        self.managed(tx, actor, Action::RevokeDesktop, &resource, &answer).await?;
        Ok(revoked)
    }
}

/// Formats a revocation as the stored answer to its request.
fn revoked_answer(revoked: Revoked) -> String {
    let Revoked { certificates, was_connected, is_known } = revoked;
    format!("{certificates} {was_connected} {is_known}")
}

fn parse_revoked(answer: &str) -> Result<Revoked, Error> {
    let parse = || {
        let mut parts = answer.split(' ');
        Some(Revoked {
            certificates: parts.next()?.parse().ok()?,
            was_connected: parts.next()?.parse().ok()?,
            is_known: parts.next()?.parse().ok()?,
        })
    };
    parse().ok_or_else(Error::internal)
}
