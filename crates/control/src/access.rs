//! Who calls: bearer tokens from the configuration, each bound to one project. The same for every adapter.

use std::{str::FromStr, sync::Arc};

use domain::{Error, ErrorKind, ids::ProjectId};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The header, or the metadata of a gRPC call, that carries a token.
pub const TOKEN_HEADER: &str = "x-auth-token";
/// Shorter ones are guessed.
const MIN_TOKEN_CHARS: usize = 16;

/// A credential of one project. Only the token's hash is kept.
#[derive(Clone)]
pub struct Token {
    project_id: ProjectId,
    sha256: [u8; 32],
}

impl Token {
    /// A token of a project: at least 16 characters.
    pub fn new(project_id: ProjectId, secret: &str) -> Result<Self, Error> {
        if secret.chars().count() < MIN_TOKEN_CHARS {
            return Err(Error::invalid(format!("a token must have at least {MIN_TOKEN_CHARS} characters")));
        }
        Ok(Self { project_id, sha256: Sha256::digest(secret).into() })
    }
}

impl FromStr for Token {
    type Err = Error;

    /// `project_id:token`, as in the configuration.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (project_id, secret) =
            text.split_once(':').ok_or_else(|| Error::invalid("a token is written as project_id:token"))?;
        Self::new(project_id.parse()?, secret)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token of {}", self.project_id)
    }
}

/// All credentials. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<Vec<Token>>);

impl FromIterator<Token> for Tokens {
    fn from_iter<I: IntoIterator<Item = Token>>(tokens: I) -> Self {
        Self(Arc::new(tokens.into_iter().collect()))
    }
}

impl Tokens {
    /// The project that a call's credential belongs to. Looks at every token, so that the time taken tells nothing
    /// of which one came close.
    pub fn authenticate(&self, given: Option<&[u8]>) -> Result<ProjectId, Error> {
        let unauthenticated = |message: &str| Error::new(ErrorKind::Unauthenticated, message);
        let given = given.ok_or_else(|| unauthenticated("X-Auth-Token is missing"))?;
        let hash: [u8; 32] = Sha256::digest(given).into();
        let mut found = None;
        for token in self.0.iter() {
            if bool::from(token.sha256.ct_eq(&hash)) {
                found = Some(token.project_id.clone());
            }
        }
        found.ok_or_else(|| unauthenticated("the token in X-Auth-Token is not known"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_never_shown() {
        let token: Token = "project-1:0123456789abcdef:with-a-colon".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token of project-1");
        let tokens: Tokens = [token].into_iter().collect();
        assert!(tokens.authenticate(Some(b"0123456789abcdef:with-a-colon")).is_ok());
        assert!(tokens.authenticate(Some(b"0123456789abcdef")).is_err());
        assert!(tokens.authenticate(None).is_err());
    }

    #[test]
    fn a_short_or_shapeless_token_is_refused() {
        assert!("project-1:short".parse::<Token>().is_err());
        assert!("0123456789abcdef".parse::<Token>().is_err());
        assert!(":0123456789abcdef".parse::<Token>().is_err());
    }
}
