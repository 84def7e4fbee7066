//! Authentication: resolves a credential to an identity.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::{
    Error, Reason, Timestamp,
    authz::{Policy, Rights, ready_policy},
    ids::ProjectId,
    person,
    request_signing::{Authorization, CLOCK_TOLERANCE, SignedRequest},
};
use sha2::{Digest as _, Sha256};
use store::{
    credential::{self, Holder},
    project,
};
use uuid::Uuid;

use super::{
    Identity,
    login_guard::{CredentialHash, unknown_credential},
};
use crate::Control;

/// A valid access key with its secret.
pub struct SigningKey {
    secret_key: String,
    identity: Arc<Identity>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey of {}", self.identity.credential)
    }
}

impl SigningKey {
    /// Returns the identity that the request claims, before its signature is verified. Only
    /// refusals may depend on it.
    pub fn claimed(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Verifies that the request was signed with this key, and returns its identity.
    pub fn verify(
        self,
        authorization: &Authorization,
        request: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<Arc<Identity>, Error> {
        authorization.verify(request, &self.secret_key, now)?;
        Ok(self.identity)
    }
}

/// Owner of a valid token.
pub(super) enum TokenOwner {
    /// The configuration of a project; `sha256` is the token's hash.
    Configuration { project_id: ProjectId, sha256: [u8; 32] },
    /// A principal in the database.
    Database { token_id: Uuid, holder: Holder },
}

/// Maximum time between the clock check and the end of the request body.
const READING: TimeDelta = TimeDelta::minutes(2);

impl Control {
    /// Returns the identity of a token that was presented from an address.
    pub async fn authenticate_token(&self, given: &[u8], address: &str) -> Result<Arc<Identity>, Error> {
        let identity = match self.token_owner(given, address).await? {
            TokenOwner::Configuration { project_id, .. } => {
                self.configured(&project_id, "token:configuration".to_owned()).await?
            }
            TokenOwner::Database { token_id, holder } => {
                identity(holder, format!("token:{}", token_id.simple()))
            }
        };
        Ok(Arc::new(identity))
    }

    /// Returns the owner of a token that was presented from an address.
    pub(super) async fn token_owner(&self, given: &[u8], address: &str) -> Result<TokenOwner, Error> {
        if let Some((project_id, sha256)) = self.access.fixed.token(given) {
            return Ok(TokenOwner::Configuration { project_id: project_id.clone(), sha256 });
        }
        let (hash, now): (CredentialHash, _) = (Sha256::digest(given).into(), self.environment.now());
        let permit = self.login_guard.admit(&hash, address, now).await?;
        let mut connection = self.store.acquire().await?;
        let found = credential::token_holder(&mut connection, &hash, now).await?;
        drop((connection, permit));
        let Some((token_id, holder)) = found else {
            self.login_guard.record_unknown(hash, address, now);
            return Err(unknown_credential("the token is unknown, expired or revoked"));
        };
        self.login_guard.record_known(hash, now);
        Ok(TokenOwner::Database { token_id, holder })
    }

    /// Returns the identity of a certificate's principal. The server verified the certificate when
    /// it accepted the connection. `serial` names the certificate in the audit.
    pub async fn authenticate_certificate(
        &self,
        project_id: &str,
        principal: &str,
        serial: &str,
    ) -> Result<Arc<Identity>, Error> {
        // The rights of a person come from the groups at the last sign-in, and end with its
        // session.
        if person::is_person(principal) {
            return Err(unknown_credential(
                "a person signs in with the identity provider, not a certificate",
            ));
        }
        let mut connection = self.store.acquire().await?;
        let holder = credential::principal(&mut connection, project_id, principal).await?;
        let holder = holder.ok_or_else(|| {
            unknown_credential("the certificate's principal does not exist, or its project is revoked")
        })?;
        Ok(Arc::new(identity(holder, format!("certificate:{serial}"))))
    }

    /// Looks up the access key that a request from an address names, before its body is read.
    pub async fn signing_key(
        &self,
        authorization: &Authorization,
        address: &str,
        now: Timestamp,
    ) -> Result<SigningKey, Error> {
        let access_key = &authorization.access_key;
        let name = format!("key:{access_key}");
        if let Some((project_id, secret_key)) = self.access.fixed.key(access_key) {
            let identity = Arc::new(self.configured(project_id, name).await?);
            return Ok(SigningKey { secret_key: secret_key.to_owned(), identity });
        }
        let hash: CredentialHash = Sha256::digest(&name).into();
        let permit = self.login_guard.admit(&hash, address, now).await?;
        let mut connection = self.store.acquire().await?;
        let found = credential::key_holder(&mut connection, access_key, now).await?;
        drop((connection, permit));
        // Only a signature proves that the caller has the key, so nothing is recorded as known.
        let Some((sealed, holder)) = found else {
            self.login_guard.record_unknown(hash, address, now);
            return Err(unknown_credential("the access key is unknown, expired or revoked"));
        };
        let secret_key = self.access.master_keys.open(access_key, &sealed)?;
        Ok(SigningKey { secret_key, identity: Arc::new(identity(holder, name)) })
    }

    /// Returns the identity of a credential from the configuration. It has all rights in its
    /// project, unless the project is revoked.
    pub(super) async fn configured(
        &self,
        project_id: &ProjectId,
        credential: String,
    ) -> Result<Identity, Error> {
        if project::is_revoked(&mut *self.store.acquire().await?, project_id).await? {
            return Err(unknown_credential("the project of this credential is revoked"));
        }
        Ok(Identity {
            project_id: project_id.clone(),
            principal: "configuration".to_owned(),
            credential,
            rights: Rights::new(&ready_policy("admin")),
        })
    }

    /// Records a verified signature, so that the same request cannot be replayed.
    pub async fn use_signature(&self, authorization: &Authorization, now: Timestamp) -> Result<(), Error> {
        // Covers every clock from the earliest to the latest that accepts the signature.
        let expires_at = now + CLOCK_TOLERANCE * 2 + READING;
        let hash: [u8; 32] = Sha256::new()
            .chain_update(&authorization.access_key)
            .chain_update([0])
            .chain_update(authorization.signature())
            .finalize()
            .into();
        if credential::use_signature(&mut *self.store.acquire().await?, &hash, expires_at).await? {
            return Ok(());
        }
        Err(Error::new(
            Reason::SignatureReplayed,
            "this signed request was already sent: to repeat it, sign it again at least one second later",
        ))
    }
}

/// Returns the identity of a principal, with the rights of its policies.
pub(super) fn identity(holder: Holder, credential: String) -> Identity {
    let ready: Vec<Policy> = holder.policies.iter().filter_map(|name| ready_policy(name)).collect();
    let rights = Rights::new(ready.iter().chain(&holder.documents));
    Identity { project_id: holder.project_id, principal: holder.principal, credential, rights }
}
