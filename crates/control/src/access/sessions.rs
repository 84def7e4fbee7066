//! Sessions of the web console: sign-in, authentication of later calls, sign-out.
//!
//! A session acts as its principal, with the rights that the principal has at each call. Its secret
//! is in a cookie of the browser; the database has its hash.

use std::sync::Arc;

use domain::{
    Error, Reason, Timestamp,
    audit::signed_in,
    ids::ProjectId,
    person,
    session::{MAX_SESSIONS_PER_PRINCIPAL, SIGN_IN_CODE_LASTS, SessionTimes},
};
use sha2::{Digest as _, Sha256};
use store::{
    Connection, Tx,
    audit::{self, NewEntry},
    credential, project, session,
    session::{SessionOrigin, SessionRow},
    sign_in_code,
    sign_in_code::CodeHolder,
};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{
    Identity,
    authenticate::{TokenOwner, identity},
    credentials::{TOKEN_CHARS, random},
    login_guard::{CredentialHash, unknown_credential},
    outsider::Outsider,
    principals::suspend_project,
};
use crate::Control;

/// Names of the audit's entries. Policies do not name them: every principal may sign in.
const SIGN_IN: &str = "graywave:sessions:create";
const SIGN_OUT: &str = "graywave:sessions:delete";
const CREATE_CODE: &str = "graywave:signInCodes:create";

/// Where a sign-in or a sign-out comes from.
#[derive(Debug, Clone, Default)]
pub struct RequestOrigin {
    /// Address of the client.
    pub address: String,
    /// Address and user agent, for the audit.
    pub source: String,
    /// Request id, for the audit.
    pub request_id: String,
}

/// A new session with its secret, which is shown once.
pub struct NewSession {
    /// Secret for the cookie.
    pub secret: String,
    /// The session.
    pub session: Session,
}

impl std::fmt::Debug for NewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewSession {}", self.session.session_id.simple())
    }
}

/// A valid session.
#[derive(Clone)]
pub struct Session {
    /// Identity of its calls.
    pub identity: Arc<Identity>,
    /// Id, for the audit.
    pub session_id: Uuid,
    /// Name for people.
    pub name: String,
    /// Identity provider of the sign-in; `None` for other sign-ins.
    pub provider: Option<String>,
    /// Time of the sign-in.
    pub created_at: Timestamp,
    /// Absolute end.
    pub expires_at: Timestamp,
    /// End unless the session is used before.
    pub idle_expires_at: Timestamp,
    /// Token that changes must carry beside the cookie.
    pub csrf_token: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session {} of {}", self.session_id.simple(), self.identity.principal)
    }
}

impl Session {
    /// Checks the CSRF token of a change, in constant time.
    pub fn check_csrf(&self, given: Option<&[u8]>) -> Result<(), Error> {
        let given = given.unwrap_or_default();
        if bool::from(given.ct_eq(self.csrf_token.as_bytes())) {
            return Ok(());
        }
        let message = "a change with the session's cookie needs the header X-CSRF-Token: read it from \
                       GET /console/session";
        Err(Error::new(Reason::CsrfTokenInvalid, message))
    }
}

/// A person whom an identity provider vouches for.
#[derive(Debug, Clone)]
pub struct SignedInPerson {
    /// Name of the provider in the configuration.
    pub provider: String,
    /// Project of the provider.
    pub project_id: ProjectId,
    /// Principal of the person; see [`person::person`].
    pub principal: String,
    /// Name for people.
    pub name: String,
    /// Policies of the person's groups; empty if the person may not sign in. `None` if the person
    /// is an existing principal with policies of its own.
    pub policies: Option<Vec<String>>,
}

/// Hash under which a session is stored.
fn secret_hash(secret: &[u8]) -> CredentialHash {
    Sha256::digest(secret).into()
}

/// Derives a value from the session's secret. The purpose separates it from other such values.
fn derived(purpose: &str, secret: &[u8], more: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(secret);
    digest.chain_update(more).finalize().into()
}

fn bound_to(secret: &[u8], token_sha256: &[u8; 32]) -> [u8; 32] {
    derived("graywave configured token", secret, token_sha256)
}

fn expired() -> Error {
    let message = "the session has ended: it was signed out, unused for too long or too old, or its token is \
                   no longer valid; sign in again";
    Error::new(Reason::SessionExpired, message)
}

/// A sign-in before its session exists.
struct Admission<'a> {
    identity: Identity,
    name: String,
    origin: SessionOrigin,
    secret: String,
    policies: &'a [String],
}

impl Control {
    /// Signs in with a token. Ends the session that the browser had before, if any.
    pub async fn sign_in_with_token(
        &self,
        token: &[u8],
        replaces: Option<&[u8]>,
        from: &RequestOrigin,
    ) -> Result<NewSession, Error> {
        let secret = random(TOKEN_CHARS);
        let owner = self.token_owner(token, &from.address).await?;
        let (identity, origin) = match owner {
            TokenOwner::Configuration { project_id, sha256 } => {
                let identity = self.configured(&project_id, "token:configuration".to_owned()).await?;
                (identity, SessionOrigin::ConfiguredToken(bound_to(secret.as_bytes(), &sha256)))
            }
            TokenOwner::Database { token_id, holder } => {
                let identity = identity(holder, format!("token:{}", token_id.simple()));
                (identity, SessionOrigin::Token(token_id))
            }
        };
        let name = identity.principal.clone();
        let admission = Admission { identity, name, origin, secret, policies: &[] };
        self.admit_to_session(self.store.begin().await?, admission, replaces, from).await
    }

    /// Signs in with a one-time code.
    ///
    /// # Errors
    ///
    /// `CredentialUnknown` if the code is unknown, used or expired.
    pub async fn sign_in_with_code(
        &self,
        code: &[u8],
        replaces: Option<&[u8]>,
        from: &RequestOrigin,
    ) -> Result<NewSession, Error> {
        let (hash, now) = (secret_hash(code), self.environment.now());
        let permit = self.login_guard.admit(&hash, &from.address, now).await?;
        let mut tx = self.store.begin().await?;
        let holder = match sign_in_code::take(&mut tx, &hash, now).await? {
            None => None,
            Some(CodeHolder { project_id, principal }) => {
                credential::principal(&mut tx, project_id.as_str(), &principal).await?
            }
        };
        drop(permit);
        let Some(holder) = holder else {
            self.login_guard.record_unknown(hash, &from.address, now);
            return Err(unknown_credential("the code is unknown, used or expired: a code is valid once"));
        };
        let identity = identity(holder, "code".to_owned());
        let name = identity.principal.clone();
        let secret = random(TOKEN_CHARS);
        let admission = Admission { identity, name, origin: SessionOrigin::Code, secret, policies: &[] };
        self.admit_to_session(tx, admission, replaces, from).await
    }

    /// Signs in a person of an identity provider. The person's principal gets the policies of the
    /// person's groups, in place of those of the last sign-in.
    ///
    /// # Errors
    ///
    /// `NoPolicyAllows` if the person has no policy. The principal of an earlier sign-in then loses
    /// its policies, and its sessions end.
    pub async fn sign_in_person(
        &self,
        person: &SignedInPerson,
        replaces: Option<&[u8]>,
        from: &RequestOrigin,
    ) -> Result<NewSession, Error> {
        let SignedInPerson { provider, project_id, principal, name, policies } = person;
        let (name, is_mapped) = (person::shown_name(name), policies.is_some());
        let mut tx = self.store.begin().await?;
        suspend_project(&mut tx, project_id).await?;
        let credential = format!("oidc:{provider}");
        let policies: &[String] = policies.as_deref().unwrap_or_default();
        if is_mapped && policies.is_empty() {
            if project::policies_of(&mut tx, project_id, principal).await?.is_some() {
                project::put_principal(&mut tx, project_id, principal, &[], self.environment.now()).await?;
                session::delete_all(&mut tx, project_id, principal).await?;
            }
            let refusal = "none of the person's groups is mapped to a policy";
            let details = signed_in(&name, policies)?;
            let entry = NewEntry {
                result: "REFUSED",
                reason: refusal,
                details: &details,
                ..self.session_entry(project_id, principal, &credential, SIGN_IN, from)
            };
            audit::insert(&mut tx, &entry).await?;
            self.store.commit(tx).await?;
            return Err(Error::new(Reason::NoPolicyAllows, refusal));
        }
        if is_mapped {
            project::put_principal(&mut tx, project_id, principal, policies, self.environment.now()).await?;
        } else {
            check_exists(&mut tx, project_id, principal).await?;
        }
        let holder = credential::principal(&mut tx, project_id.as_str(), principal).await?;
        let holder = holder.ok_or_else(Error::internal)?;
        let admission = Admission {
            identity: identity(holder, credential),
            name,
            origin: SessionOrigin::Provider(provider.clone()),
            secret: random(TOKEN_CHARS),
            policies,
        };
        self.admit_to_session(tx, admission, replaces, from).await
    }

    /// Records the use of the state of a sign-in with an identity provider. Returns false if it was
    /// used before.
    pub async fn use_sign_in_state(&self, state: &str) -> Result<bool, Error> {
        let hash = derived("graywave sign-in state", state.as_bytes(), &[]);
        // Longer than any state is accepted.
        let expires_at = self.environment.now() + SIGN_IN_CODE_LASTS * 2;
        Ok(credential::use_signature(&mut *self.store.acquire().await?, &hash, expires_at).await?)
    }

    /// Stores the session of an admitted principal and its audit entry, and commits. The session's
    /// secret is new, so that nobody can have planted it in the browser before.
    async fn admit_to_session(
        &self,
        mut tx: Tx,
        admission: Admission<'_>,
        replaces: Option<&[u8]>,
        from: &RequestOrigin,
    ) -> Result<NewSession, Error> {
        let Admission { identity, name, origin, secret, policies } = admission;
        let (project_id, principal) = (identity.project_id.clone(), identity.principal.clone());
        session::lock_principal(&mut tx, &project_id, &principal).await?;
        if let Some(old) = replaces {
            session::delete(&mut tx, &secret_hash(old)).await?;
        }
        session::delete_excess(&mut tx, &project_id, &principal, MAX_SESSIONS_PER_PRINCIPAL - 1).await?;
        let row = SessionRow {
            session_id: self.environment.id(),
            project_id: project_id.clone(),
            principal: principal.clone(),
            name,
            origin,
            times: SessionTimes::begin(self.environment.now(), self.session_terms),
        };
        let hash = secret_hash(secret.as_bytes());
        session::insert(&mut tx, &row, &hash).await?;
        let (resource, details) =
            (format!("session:{}", row.session_id.simple()), signed_in(&row.name, policies)?);
        let entry = NewEntry {
            resource: &resource,
            details: &details,
            ..self.session_entry(&project_id, &principal, &identity.credential, SIGN_IN, from)
        };
        audit::insert(&mut tx, &entry).await?;
        self.store.commit(tx).await?;
        self.login_guard.record_known(hash, self.environment.now());
        let identity = Identity { credential: resource, ..identity };
        let session = self.session(row, Arc::new(identity), secret.as_bytes());
        Ok(NewSession { secret, session })
    }

    /// Returns the session of a secret from a cookie. `is_use` extends the session's idle time.
    ///
    /// # Errors
    ///
    /// `SessionExpired` if the session is unknown or has ended.
    pub async fn authenticate_session(
        &self,
        secret: &[u8],
        is_use: bool,
        address: &str,
    ) -> Result<Session, Error> {
        let (hash, now) = (secret_hash(secret), self.environment.now());
        let is_unknown = |error: Error| match error.reason {
            Reason::CredentialUnknown => expired(),
            _ => error,
        };
        let permit = self.login_guard.admit(&hash, address, now).await.map_err(is_unknown)?;
        let mut connection = self.store.acquire().await?;
        let found = session::find(&mut connection, &hash, now).await?;
        let found = found.filter(|(row, _)| row.times.is_valid(self.session_terms, now));
        let Some((mut row, holder)) = found else {
            drop((connection, permit));
            self.login_guard.record_unknown(hash, address, now);
            return Err(expired());
        };
        if is_use && row.times.stores_use(now) {
            session::store_use(&mut connection, row.session_id, now).await?;
            row.times.used_at = now;
        }
        drop((connection, permit));
        let credential = format!("session:{}", row.session_id.simple());
        let identity = match (&row.origin, holder) {
            (SessionOrigin::ConfiguredToken(bound), _) => {
                let is_bound = |token: &[u8; 32]| bool::from(bound_to(secret, token).ct_eq(bound));
                if !self.access.fixed.any_token(&row.project_id, is_bound) {
                    return Err(expired());
                }
                self.configured(&row.project_id, credential).await?
            }
            (_, Some(holder)) => identity(holder, credential),
            (_, None) => return Err(expired()),
        };
        self.login_guard.record_known(hash, now);
        Ok(self.session(row, Arc::new(identity), secret))
    }

    fn session(&self, row: SessionRow, identity: Arc<Identity>, secret: &[u8]) -> Session {
        let provider = match row.origin {
            SessionOrigin::Provider(name) => Some(name),
            _ => None,
        };
        Session {
            identity,
            session_id: row.session_id,
            name: row.name,
            provider,
            created_at: row.times.created_at,
            expires_at: row.times.expires_at,
            idle_expires_at: row.times.idle_expires_at(self.session_terms),
            csrf_token: hex::encode(derived("graywave csrf", secret, &[])),
        }
    }

    /// Ends a session, or every session of its principal.
    pub async fn sign_out(
        &self,
        session: &Session,
        secret: &[u8],
        is_everywhere: bool,
        from: &RequestOrigin,
    ) -> Result<(), Error> {
        let (project_id, principal) = (&session.identity.project_id, &session.identity.principal);
        let mut tx = self.store.begin().await?;
        let resource = if is_everywhere {
            session::delete_all(&mut tx, project_id, principal).await?;
            format!("principal:{principal} sessions:all")
        } else {
            session::delete(&mut tx, &secret_hash(secret)).await?;
            session.identity.credential.clone()
        };
        let entry = self.session_entry(project_id, principal, &session.identity.credential, SIGN_OUT, from);
        audit::insert(&mut tx, &NewEntry { resource: &resource, ..entry }).await?;
        Ok(self.store.commit(tx).await?)
    }

    /// Ends all sessions of a principal and returns their number. For commands on the database.
    pub async fn end_sessions(&self, project_id: &ProjectId, principal: &str) -> Result<u64, Error> {
        let mut tx = self.store.begin().await?;
        let number = session::delete_all(&mut tx, project_id, principal).await?;
        let resource = format!("principal:{principal} sessions:all");
        self.done_outside(tx, Outsider::Database, project_id, SIGN_OUT, &resource).await?;
        Ok(number)
    }

    /// Creates a one-time code with which a browser signs in as a principal within ten minutes. For
    /// commands on the database.
    ///
    /// # Errors
    ///
    /// `FieldInvalid` for a person of an identity provider, whose rights are those of the groups at
    /// the last sign-in there.
    pub async fn create_sign_in_code(
        &self,
        project_id: &ProjectId,
        principal: &str,
    ) -> Result<String, Error> {
        let code = random(TOKEN_CHARS);
        let mut tx = self.store.begin().await?;
        suspend_project(&mut tx, project_id).await?;
        if person::is_person(principal) {
            let message = format!(
                "{principal} is a person of an identity provider, who signs in there: create the link for another \
                 principal"
            );
            return Err(Error::invalid("principal", message));
        }
        check_exists(&mut tx, project_id, principal).await?;
        let holder = CodeHolder { project_id: project_id.clone(), principal: principal.to_owned() };
        let expires_at = self.environment.now() + SIGN_IN_CODE_LASTS;
        sign_in_code::insert(&mut tx, &secret_hash(code.as_bytes()), &holder, None, expires_at).await?;
        let resource = format!("principal:{principal}");
        self.done_outside(tx, Outsider::Database, project_id, CREATE_CODE, &resource).await?;
        Ok(code)
    }

    /// Creates the audit entry of a sign-in or a sign-out.
    pub(super) fn session_entry<'a>(
        &self,
        project_id: &'a ProjectId,
        principal: &'a str,
        credential: &'a str,
        action: &'a str,
        from: &'a RequestOrigin,
    ) -> NewEntry<'a> {
        NewEntry {
            principal,
            credential,
            source: &from.source,
            request_id: &from.request_id,
            ..self.outside_entry(Some(project_id), action, "", domain::audit::NO_DETAILS)
        }
    }
}

async fn check_exists(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
) -> Result<(), Error> {
    if credential::principal(connection, project_id.as_str(), principal).await?.is_some() {
        return Ok(());
    }
    let message = format!("principal {principal:?} does not exist in project {project_id}");
    Err(Error::field(Reason::PrincipalNotFound, "principal", message))
}
