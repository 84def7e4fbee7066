//! Tokens and access keys: creation, listing and revocation. Their secrets are shown once, at
//! creation.

use domain::{Error, Reason, Timestamp, authz::Action, ids::ProjectId, person};
use rand::{Rng as _, distr::Alphanumeric};
use sha2::{Digest as _, Sha256};
use store::{
    Connection, credential,
    credential::{CredentialId, CredentialRow, Terms},
    project,
};
use uuid::Uuid;

use super::{
    Actor,
    principals::{NO_LIMIT, check_project, is_name, suspend_project},
};
use crate::{Control, change::Begun};

/// Length of generated credentials. Each character carries almost six bits of entropy.
const ACCESS_KEY_CHARS: usize = 20;
const SECRET_KEY_CHARS: usize = 40;
pub(super) const TOKEN_CHARS: usize = 48;

/// A new token. Its text is shown once and never stored.
#[derive(Clone)]
pub struct NewToken {
    /// Id for listing and revocation.
    pub token_id: Uuid,
    /// Secret text that the client sends.
    pub token: String,
}

/// A new access key. Its secret is shown once.
#[derive(Clone)]
pub struct NewKey {
    /// Public id of the key.
    pub access_key: String,
    /// Secret with which the client signs.
    pub secret_key: String,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewToken {}", self.token_id.simple())
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey {}", self.access_key)
    }
}

impl NewKey {
    /// Generates a random access key.
    pub fn random() -> Self {
        Self { access_key: random(ACCESS_KEY_CHARS).to_uppercase(), secret_key: random(SECRET_KEY_CHARS) }
    }
}

impl NewToken {
    /// Generates a random token.
    pub fn random(token_id: Uuid) -> Self {
        Self { token_id, token: random(TOKEN_CHARS) }
    }
}

pub(super) fn random(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

fn check_not_expired(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
    match expires_at {
        Some(expires_at) if expires_at <= now => {
            Err(Error::invalid("expire_time", format!("{expires_at} is not in the future: it is {now}")))
        }
        _ => Ok(()),
    }
}

async fn check_principal(
    connection: &mut Connection,
    actor: Actor<'_>,
    principal: &str,
) -> Result<(), Error> {
    let project_id = actor.project_id();
    suspend_project(connection, project_id).await?;
    if person::is_person(principal) {
        let message = format!(
            "{principal} is a person of an identity provider, who signs in there and has no other credential: create a \
             principal for a program"
        );
        return Err(Error::invalid("principal", message));
    }
    let known = project::list_principals(connection, project_id, None, NO_LIMIT).await?;
    if known.iter().any(|row| row.principal == principal) {
        return Ok(());
    }
    Err(Error::field(
        Reason::PrincipalNotFound,
        "principal",
        format!(
            "principal {principal:?} does not exist in project {project_id}: `graywave principals put` or `graywave \
         admin principals put`, or PUT /access/principals/NAME, makes one"
        ),
    ))
}

impl Control {
    /// Creates a token for a principal.
    pub async fn create_token(
        &self,
        actor: Actor<'_>,
        principal: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewToken, Error> {
        actor.check_giving(Action::CreateToken)?;
        check_not_expired(expires_at, self.environment.now())?;
        let made = NewToken::random(self.environment.id());
        self.keep_token(actor, principal, &made, expires_at).await?;
        Ok(made)
    }

    /// Stores the hash of a token that was generated elsewhere. A stored token stays unchanged.
    pub async fn import_token(
        &self,
        project_id: &ProjectId,
        principal: &str,
        token: &NewToken,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.keep_token(Actor::Database(project_id), principal, token, expires_at).await
    }

    async fn keep_token(
        &self,
        actor: Actor<'_>,
        principal: &str,
        token: &NewToken,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        let mut tx = self.begin_unrepeatable(actor).await?;
        check_principal(&mut tx, actor, principal).await?;
        let hash: [u8; 32] = Sha256::digest(&token.token).into();
        let terms =
            Terms { project_id: actor.project_id(), principal, expires_at, now: self.environment.now() };
        if !credential::insert_token(&mut tx, token.token_id, &hash, terms).await? {
            return Ok(());
        }
        let resource = format!("token:{} principal:{principal}", token.token_id.simple());
        self.managed(tx, actor, Action::CreateToken, &resource, "").await
    }

    /// Creates an access key for a principal.
    pub async fn create_key(
        &self,
        actor: Actor<'_>,
        principal: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewKey, Error> {
        actor.check_giving(Action::CreateKey)?;
        check_not_expired(expires_at, self.environment.now())?;
        let made = NewKey::random();
        self.keep_key(actor, principal, &made, expires_at).await?;
        Ok(made)
    }

    /// Stores an access key that was generated elsewhere, with its secret encrypted. A stored key
    /// stays unchanged.
    pub async fn import_key(
        &self,
        project_id: &ProjectId,
        principal: &str,
        key: &NewKey,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.keep_key(Actor::Database(project_id), principal, key, expires_at).await
    }

    async fn keep_key(
        &self,
        actor: Actor<'_>,
        principal: &str,
        key: &NewKey,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        let sealed = self.access.master_keys.seal(&key.access_key, &key.secret_key)?;
        let mut tx = self.begin_unrepeatable(actor).await?;
        check_principal(&mut tx, actor, principal).await?;
        let terms =
            Terms { project_id: actor.project_id(), principal, expires_at, now: self.environment.now() };
        if !credential::insert_key(&mut tx, &key.access_key, &sealed, terms).await? {
            return Ok(());
        }
        let resource = format!("key:{} principal:{principal}", key.access_key);
        self.managed(tx, actor, Action::CreateKey, &resource, "").await
    }

    /// Lists a project's tokens without their secrets, including expired and revoked ones. The
    /// oldest come first, starting after `after`.
    pub async fn list_tokens(
        &self,
        actor: Actor<'_>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<CredentialRow>, Error> {
        actor.check(Action::ListTokens)?;
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, actor.project_id()).await?;
        Ok(credential::list_tokens(&mut connection, actor.project_id(), after, limit).await?)
    }

    /// Lists a project's access keys without their secrets, including expired and revoked ones.
    /// Ordered by key, starting after `after`.
    pub async fn list_keys(
        &self,
        actor: Actor<'_>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<CredentialRow>, Error> {
        actor.check(Action::ListKeys)?;
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, actor.project_id()).await?;
        Ok(credential::list_keys(&mut connection, actor.project_id(), after, limit).await?)
    }

    /// Revokes a token. Later calls with it are refused.
    pub async fn revoke_token(&self, actor: Actor<'_>, token_id: &str) -> Result<(), Error> {
        actor.check(Action::DeleteToken)?;
        let missing = || {
            Error::new(
                Reason::CredentialNotFound,
                format!("token {token_id:?} does not exist or is revoked already"),
            )
        };
        let id = Uuid::try_parse(token_id).map_err(|_| missing())?;
        let Begun::New(mut tx) = self.begin_managed(actor).await? else { return Ok(()) };
        if credential::revoke(&mut tx, actor.project_id(), CredentialId::Token(id), self.environment.now())
            .await?
        {
            return self.managed(tx, actor, Action::DeleteToken, &format!("token:{}", id.simple()), "").await;
        }
        Err(missing())
    }

    /// Revokes an access key. Later calls that are signed with it are refused.
    pub async fn revoke_key(&self, actor: Actor<'_>, access_key: &str) -> Result<(), Error> {
        actor.check(Action::DeleteKey)?;
        let missing = || {
            Error::new(
                Reason::CredentialNotFound,
                format!("access key {access_key:?} does not exist or is revoked already"),
            )
        };
        if !is_name(access_key) {
            return Err(missing());
        }
        let Begun::New(mut tx) = self.begin_managed(actor).await? else { return Ok(()) };
        if credential::revoke(
            &mut tx,
            actor.project_id(),
            CredentialId::Key(access_key),
            self.environment.now(),
        )
        .await?
        {
            return self.managed(tx, actor, Action::DeleteKey, &format!("key:{access_key}"), "").await;
        }
        Err(missing())
    }
}
