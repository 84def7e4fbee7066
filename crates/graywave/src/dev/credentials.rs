//! The credentials of a dev cluster: made once, kept in its data directory, readable by its owner alone.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use rand::{Rng as _, distr::Alphanumeric};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a client needs to call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) project_id: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials of {}", self.project_id)
    }
}

impl Credentials {
    pub(crate) fn load_or_make(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged: remove it to have new credentials", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Self::make();
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(&serde_json::to_vec_pretty(&made)?)?;
                file.sync_all()?;
                Ok(made)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn make() -> Self {
        Self {
            project_id: Uuid::now_v7().simple().to_string(),
            access_key: random(20).to_uppercase(),
            secret_key: random(40),
            token: random(48),
        }
    }
}

fn random(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn made_once_and_readable_by_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.json");
        let made = Credentials::load_or_make(&path).unwrap();
        assert!(Credentials::load_or_make(&path).unwrap() == made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
