//! Credentials from the configuration, each bound to one project. They suit the first start and
//! small clusters. Their principal is `configuration`, which has all rights in its project.

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use domain::{Error, ids::ProjectId};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Minimum length of a secret; shorter ones can be guessed.
const MIN_TOKEN_CHARS: usize = 16;

/// A token of one project. Only its hash is stored in memory.
#[derive(Clone)]
pub struct Token {
    project_id: ProjectId,
    sha256: [u8; 32],
}

impl Token {
    /// Creates a token of a project. It must have at least 16 characters.
    pub fn new(project_id: ProjectId, secret: &str) -> Result<Self, Error> {
        if secret.chars().count() < MIN_TOKEN_CHARS {
            return Err(Error::unreadable(format!(
                "a token must have at least {MIN_TOKEN_CHARS} characters"
            )));
        }
        Ok(Self { project_id, sha256: Sha256::digest(secret).into() })
    }
}

impl FromStr for Token {
    type Err = Error;

    /// Parses `project_id:token`, the format of the configuration.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (project_id, secret) = text
            .split_once(':')
            .ok_or_else(|| Error::unreadable("a token is written as project_id:token"))?;
        Self::new(project_id.parse()?, secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token of {}", self.project_id)
    }
}

/// An access key with the secret key that SDKs sign with.
#[derive(Clone)]
pub struct AccessKey {
    project_id: ProjectId,
    access_key: String,
    secret_key: String,
}

impl AccessKey {
    /// Creates an access key of a project. The secret key must have at least 16 characters.
    pub fn new(project_id: ProjectId, access_key: &str, secret_key: &str) -> Result<Self, Error> {
        if access_key.is_empty() || secret_key.chars().count() < MIN_TOKEN_CHARS {
            return Err(Error::unreadable(format!(
                "an access key must not be empty, and its secret key must have at least {MIN_TOKEN_CHARS} characters"
            )));
        }
        Ok(Self { project_id, access_key: access_key.to_owned(), secret_key: secret_key.to_owned() })
    }
}

impl FromStr for AccessKey {
    type Err = Error;

    /// Parses `project_id:access_key:secret_key`, the format of the configuration.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(project_id), Some(access_key), Some(secret_key)) => {
                Self::new(project_id.parse()?, access_key, secret_key)
            }
            _ => Err(Error::unreadable("a key is written as project_id:access_key:secret_key")),
        }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey {} of {}", self.access_key, self.project_id)
    }
}

/// All static credentials. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    tokens: Vec<Token>,
    keys: HashMap<String, AccessKey>,
}

impl Credentials {
    /// Creates the set of tokens and access keys.
    pub fn new(tokens: Vec<Token>, keys: Vec<AccessKey>) -> Self {
        let keys = keys.into_iter().map(|key| (key.access_key.clone(), key)).collect();
        Self(Arc::new(Known { tokens, keys }))
    }

    /// Returns whether no credential is configured.
    pub fn is_empty(&self) -> bool {
        self.0.tokens.is_empty() && self.0.keys.is_empty()
    }

    /// Returns the project and the hash of a token. Compares with every token, so that the duration
    /// reveals nothing about partial matches.
    pub(crate) fn token(&self, given: &[u8]) -> Option<(&ProjectId, [u8; 32])> {
        let hash: [u8; 32] = Sha256::digest(given).into();
        let mut found = None;
        for token in &self.0.tokens {
            if bool::from(token.sha256.ct_eq(&hash)) {
                found = Some((&token.project_id, hash));
            }
        }
        found
    }

    /// Returns whether the hash of a token of the project meets a condition.
    pub(crate) fn any_token(&self, project_id: &ProjectId, condition: impl Fn(&[u8; 32]) -> bool) -> bool {
        self.0.tokens.iter().any(|token| token.project_id == *project_id && condition(&token.sha256))
    }

    /// Returns the project and the secret of an access key.
    pub(crate) fn key(&self, access_key: &str) -> Option<(&ProjectId, &str)> {
        self.0.keys.get(access_key).map(|key| (&key.project_id, key.secret_key.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_never_shown() {
        let token: Token = "project-1:0123456789abcdef:with-a-colon".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token of project-1");
        let credentials = Credentials::new(vec![token], Vec::new());
        assert!(credentials.token(b"0123456789abcdef:with-a-colon").is_some());
        assert!(credentials.token(b"0123456789abcdef").is_none());
    }

    #[test]
    fn a_short_or_shapeless_token_is_refused() {
        assert!("project-1:short".parse::<Token>().is_err());
        assert!("0123456789abcdef".parse::<Token>().is_err());
        assert!(":0123456789abcdef".parse::<Token>().is_err());
    }

    #[test]
    fn a_key_is_never_shown_and_a_shapeless_one_refused() {
        let key: AccessKey = "project-1:AK:0123456789abcdef:with-a-colon".parse().unwrap();
        assert_eq!(format!("{key:?}"), "AccessKey AK of project-1");
        assert_eq!(key.secret_key, "0123456789abcdef:with-a-colon");
        assert!("project-1:AK:short".parse::<AccessKey>().is_err());
        assert!("project-1:0123456789abcdef".parse::<AccessKey>().is_err());
    }
}
