//! Credentials of a dev cluster. They are created once, stored in the data directory with mode
//! 0600, and imported into the database.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use control::{Actor, Control, NO_LIMIT, NewKey, NewToken};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Credentials that a client needs.
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
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is not valid; delete it to create new credentials", path.display())
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Self::make();
                write_private(path, &serde_json::to_vec_pretty(&made)?)?;
                Ok(made)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn make() -> Self {
        let NewKey { access_key, secret_key } = NewKey::random();
        let NewToken { token, .. } = NewToken::random(Uuid::now_v7());
        Self { project_id: Uuid::now_v7().simple().to_string(), access_key, secret_key, token }
    }

    /// Creates the project and a principal with the policy `admin`. Existing ones stay unchanged.
    pub(crate) async fn import(&self, control: &Control) -> anyhow::Result<()> {
        let project_id = self.project_id.parse()?;
        let projects = control.list_projects().await?;
        if !projects.iter().any(|row| row.project_id == project_id) {
            control.create_project(&project_id, "dev").await?;
        }
        let actor = Actor::Database(&project_id);
        let principals = control.list_principals(actor, None, NO_LIMIT).await?;
        if !principals.iter().any(|row| row.principal == PRINCIPAL) {
            control.put_principal(actor, PRINCIPAL, &["admin".to_owned()]).await?;
        }
        let token = NewToken { token_id: Uuid::now_v7(), token: self.token.clone() };
        control.import_token(&project_id, PRINCIPAL, &token, None).await?;
        let key = NewKey { access_key: self.access_key.clone(), secret_key: self.secret_key.clone() };
        Ok(control.import_key(&project_id, PRINCIPAL, &key, None).await?)
    }
}

impl Credentials {
    /// Returns the principal of the credentials, as `access.cluster_admins` names it.
    pub(crate) fn principal(&self) -> String {
        format!("{}:{PRINCIPAL}", self.project_id)
    }
}

/// Reads or creates the master key for secret keys in the database. The file has mode 0600.
pub(crate) fn load_or_make_master_key(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = hex::encode(rand::random::<[u8; 32]>());
            write_private(path, key.as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Addresses at which the operator's commands reach the cluster.
pub(crate) struct Addresses {
    /// Admin gRPC.
    pub(crate) grpc: SocketAddr,
    /// URL of the REST API.
    pub(crate) rest: String,
}

/// File `env` with the shell variables for operator commands and for commands on the database. It
/// exists while the cluster runs.
#[derive(Debug)]
pub(crate) struct EnvironmentFile(PathBuf);

impl EnvironmentFile {
    pub(crate) fn write(
        path: PathBuf,
        database_url: &str,
        master_key_file: &Path,
        addresses: &Addresses,
        credentials: &Credentials,
    ) -> anyhow::Result<Self> {
        let variables = [
            ("DATABASE_URL", database_url),
            ("GRAYWAVE__ACCESS__MASTER_KEY_FILE", &master_key_file.to_string_lossy()),
            ("GRAYWAVE_GRPC", &addresses.grpc.to_string()),
            ("GRAYWAVE_REST", &addresses.rest),
            ("GRAYWAVE_TOKEN", &credentials.token),
            ("GRAYWAVE_PROJECT", &credentials.project_id),
            ("GRAYWAVE_ACCESS_KEY", &credentials.access_key),
            ("GRAYWAVE_SECRET_KEY", &credentials.secret_key),
        ];
        let mut text = String::new();
        for (name, value) in variables {
            text.push_str(&format!("export {name}={}\n", shlex::try_quote(value)?));
        }
        // Lets `graywave` be typed without its path, however often the file is read.
        if let Some(programs) = std::env::current_exe()?.parent() {
            let programs = programs.to_string_lossy();
            let quoted = shlex::try_quote(&programs)?;
            text.push_str(&format!(
                "case \":$PATH:\" in *:{quoted}:*) ;; *) export PATH={quoted}:\"$PATH\" ;; esac\n"
            ));
        }
        let file = Self(path);
        // A leftover of a killed run.
        file.remove();
        write_private(&file.0, text.as_bytes())?;
        Ok(file)
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "cannot delete the file");
        }
    }
}

impl Drop for EnvironmentFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Principal of the credentials.
pub(super) const PRINCIPAL: &str = "developer";

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
