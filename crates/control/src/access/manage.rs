//! Projects, principals, policies and credentials, as the people who run the cluster manage them.

use domain::{
    Error, ErrorKind, Timestamp,
    access::{Policy, READY_POLICIES, ready_policy},
    ids::ProjectId,
    limits,
};
use rand::{Rng as _, distr::Alphanumeric};
use sha2::{Digest as _, Sha256};
use store::{
    Connection, Tx, audit,
    audit::NewEntry,
    credential,
    credential::{CredentialRow, Terms},
    project,
    project::{PrincipalRow, ProjectRow},
};
use uuid::Uuid;

use crate::Control;

/// Characters of what is made here; each carries almost six bits.
const ACCESS_KEY_CHARS: usize = 20;
const SECRET_KEY_CHARS: usize = 40;
const TOKEN_CHARS: usize = 48;
const MAX_NAME_CHARS: usize = 128;
/// Who the audit says it was: the database is all that the commands ask for.
const MANAGER: &str = "database";

/// A new token. The text is shown once and never stored.
#[derive(Clone)]
pub struct NewToken {
    /// Its id, by which it is listed and revoked.
    pub token_id: Uuid,
    /// What the client sends.
    pub token: String,
}

/// A new access key. The secret is shown once.
#[derive(Clone)]
pub struct NewKey {
    /// Names the key.
    pub access_key: String,
    /// What the client signs with.
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
    /// A random one.
    pub fn random() -> Self {
        Self { access_key: random(ACCESS_KEY_CHARS).to_uppercase(), secret_key: random(SECRET_KEY_CHARS) }
    }
}

impl NewToken {
    /// A random one.
    pub fn random(token_id: Uuid) -> Self {
        Self { token_id, token: random(TOKEN_CHARS) }
    }
}

fn random(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what} must have 1 to {MAX_NAME_CHARS} characters, none of them a control character"
    )))
}

impl Control {
    /// Commits a change that somebody made who may reach the database, with its entry in the project's audit.
    async fn managed(
        &self,
        mut tx: Tx,
        project_id: &ProjectId,
        action: &str,
        resource: &str,
    ) -> Result<(), Error> {
        let entry = NewEntry {
            audit_id: self.clock.id(),
            project_id,
            at: self.clock.now(),
            principal: MANAGER,
            credential: MANAGER,
            action,
            resource,
            result: "DONE",
            reason: "",
            source: "",
            request_id: "",
        };
        audit::insert(&mut tx, &entry).await?;
        Ok(self.store.commit(tx).await?)
    }
}

async fn check_project(connection: &mut Connection, project_id: &ProjectId) -> Result<(), Error> {
    if project::is_good(connection, project_id).await? {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "project {project_id} does not exist or is revoked: `graywave projects create` makes one"
    )))
}

async fn check_principal(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
) -> Result<(), Error> {
    check_project(connection, project_id).await?;
    let known = project::list_principals(connection, project_id).await?;
    if known.iter().any(|row| row.principal == principal) {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "principal {principal:?} does not exist in project {project_id}: `graywave principals put` makes one"
    )))
}

impl Control {
    /// Makes a project.
    pub async fn create_project(&self, project_id: &ProjectId, name: &str) -> Result<(), Error> {
        check_name("the name", name)?;
        let mut tx = self.store.begin().await?;
        if project::insert(&mut tx, project_id, name, self.clock.now()).await? {
            return self
                .managed(tx, project_id, "graywave:projects:create", &format!("project:{project_id}"))
                .await;
        }
        Err(Error::new(ErrorKind::Conflict, format!("project {project_id} exists already")))
    }

    /// All projects.
    pub async fn list_projects(&self) -> Result<Vec<ProjectRow>, Error> {
        Ok(project::list(&mut *self.store.acquire().await?).await?)
    }

    /// Refuses every credential of a project from now on. Its rows stay.
    pub async fn revoke_project(&self, project_id: &ProjectId) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        if project::revoke(&mut tx, project_id, self.clock.now()).await? {
            return self
                .managed(tx, project_id, "graywave:projects:revoke", &format!("project:{project_id}"))
                .await;
        }
        Err(Error::not_found(format!("project {project_id} does not exist or is revoked already")))
    }

    /// Makes a principal, or binds other policies to one that is there.
    pub async fn put_principal(
        &self,
        project_id: &ProjectId,
        principal: &str,
        policies: &[String],
    ) -> Result<(), Error> {
        check_name("the principal", principal)?;
        if policies.len() > limits::MAX_POLICIES_PER_PRINCIPAL {
            return Err(Error::invalid(format!(
                "a principal has at most {} policies",
                limits::MAX_POLICIES_PER_PRINCIPAL
            )));
        }
        let mut tx = self.store.begin().await?;
        check_project(&mut tx, project_id).await?;
        let own = project::list_policies(&mut tx, project_id).await?;
        for name in policies {
            if ready_policy(name).is_none() && !own.iter().any(|(known, _)| known == name) {
                return Err(Error::not_found(format!(
                    "policy {name:?} does not exist: ready are {}, and `graywave policies put` makes others",
                    READY_POLICIES.join(", ")
                )));
            }
        }
        project::put_principal(&mut tx, project_id, principal, policies, self.clock.now()).await?;
        let resource = format!("principal:{principal} policies:{}", policies.join(","));
        self.managed(tx, project_id, "graywave:principals:put", &resource).await
    }

    /// A project's principals.
    pub async fn list_principals(&self, project_id: &ProjectId) -> Result<Vec<PrincipalRow>, Error> {
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, project_id).await?;
        Ok(project::list_principals(&mut connection, project_id).await?)
    }

    /// Stores a policy of a project's own under a name, replacing one of that name.
    pub async fn put_policy(&self, project_id: &ProjectId, name: &str, document: &str) -> Result<(), Error> {
        check_name("the name", name)?;
        if ready_policy(name).is_some() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("{name} is a ready policy and cannot be replaced: choose another name"),
            ));
        }
        let policy = Policy::parse(document)?;
        let mut tx = self.store.begin().await?;
        check_project(&mut tx, project_id).await?;
        project::put_policy(&mut tx, project_id, name, &policy, self.clock.now()).await?;
        self.managed(tx, project_id, "graywave:policies:put", &format!("policy:{name}")).await
    }

    /// A project's own policies.
    pub async fn list_policies(&self, project_id: &ProjectId) -> Result<Vec<(String, Policy)>, Error> {
        let mut connection = self.store.acquire().await?;
        check_project(&mut connection, project_id).await?;
        Ok(project::list_policies(&mut connection, project_id).await?)
    }

    /// Deletes a policy that no principal has.
    pub async fn delete_policy(&self, project_id: &ProjectId, name: &str) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        if project::delete_policy(&mut tx, project_id, name).await? {
            return self.managed(tx, project_id, "graywave:policies:delete", &format!("policy:{name}")).await;
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "policy {name:?} does not exist, or a principal has it: give that one other policies first"
            ),
        ))
    }

    /// Makes a token for a principal.
    pub async fn create_token(
        &self,
        project_id: &ProjectId,
        principal: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewToken, Error> {
        let made = NewToken::random(self.clock.id());
        self.import_token(project_id, principal, &made, expires_at).await?;
        Ok(made)
    }

    /// Stores the hash of a token that was made elsewhere. One that is stored already stays as it is.
    pub async fn import_token(
        &self,
        project_id: &ProjectId,
        principal: &str,
        token: &NewToken,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        check_principal(&mut tx, project_id, principal).await?;
        let hash: [u8; 32] = Sha256::digest(&token.token).into();
        let terms = Terms { project_id, principal, expires_at, now: self.clock.now() };
        if !credential::insert_token(&mut tx, token.token_id, &hash, terms).await? {
            return Ok(());
        }
        let resource = format!("token:{} principal:{principal}", token.token_id.simple());
        self.managed(tx, project_id, "graywave:tokens:create", &resource).await
    }

    /// Makes an access key for a principal.
    pub async fn create_key(
        &self,
        project_id: &ProjectId,
        principal: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewKey, Error> {
        let made = NewKey::random();
        self.import_key(project_id, principal, &made, expires_at).await?;
        Ok(made)
    }

    /// Stores an access key that was made elsewhere, its secret encrypted. One that is stored already stays as it is.
    pub async fn import_key(
        &self,
        project_id: &ProjectId,
        principal: &str,
        key: &NewKey,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        let sealed = self.access.master_keys.seal(&key.access_key, &key.secret_key)?;
        let mut tx = self.store.begin().await?;
        check_principal(&mut tx, project_id, principal).await?;
        let terms = Terms { project_id, principal, expires_at, now: self.clock.now() };
        if !credential::insert_key(&mut tx, &key.access_key, &sealed, terms).await? {
            return Ok(());
        }
        let resource = format!("key:{} principal:{principal}", key.access_key);
        self.managed(tx, project_id, "graywave:keys:create", &resource).await
    }

    /// A project's tokens, good or not, without what they are.
    pub async fn list_tokens(&self, project_id: &ProjectId) -> Result<Vec<CredentialRow>, Error> {
        Ok(credential::list_tokens(&mut *self.store.acquire().await?, project_id).await?)
    }

    /// A project's access keys, good or not, without their secrets.
    pub async fn list_keys(&self, project_id: &ProjectId) -> Result<Vec<CredentialRow>, Error> {
        Ok(credential::list_keys(&mut *self.store.acquire().await?, project_id).await?)
    }

    /// Revokes a token: the next call with it is refused.
    pub async fn revoke_token(&self, project_id: &ProjectId, token_id: &str) -> Result<(), Error> {
        let missing = || Error::not_found(format!("token {token_id:?} does not exist or is revoked already"));
        let id = Uuid::try_parse(token_id).map_err(|_| missing())?;
        let mut tx = self.store.begin().await?;
        if credential::revoke_token(&mut tx, project_id, id, self.clock.now()).await? {
            return self
                .managed(tx, project_id, "graywave:tokens:revoke", &format!("token:{}", id.simple()))
                .await;
        }
        Err(missing())
    }

    /// Revokes an access key: the next call signed with it is refused.
    pub async fn revoke_key(&self, project_id: &ProjectId, access_key: &str) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        if credential::revoke_key(&mut tx, project_id, access_key, self.clock.now()).await? {
            return self.managed(tx, project_id, "graywave:keys:revoke", &format!("key:{access_key}")).await;
        }
        Err(Error::not_found(format!("access key {access_key:?} does not exist or is revoked already")))
    }
}
