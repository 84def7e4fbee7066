//! Address of the database and master keys, from settings and from files that are read again when
//! they change.

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use control::MasterKeys;
use mtls::{Reloaded, Source};
use store::{PoolOptions, Store};
use telemetry::metric;

/// Where the address of a database comes from.
#[derive(Clone)]
pub(crate) struct DatabaseSource {
    /// Setting with the URL, like `database.url`; the one with its file ends with `_file`.
    pub(crate) key: &'static str,
    /// URL of the settings; not used with a file.
    pub(crate) url: String,
    pub(crate) url_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    /// Settings of the pool, without the address.
    pub(crate) options: PoolOptions,
}

impl std::fmt::Debug for DatabaseSource {
    /// Leaves the URL out, which may have a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSource").field("key", &self.key).finish_non_exhaustive()
    }
}

impl DatabaseSource {
    /// Returns a warning if a machine between this one and the database could read and change
    /// everything.
    pub(crate) fn unverified(&self, options: &PoolOptions) -> Option<String> {
        let (host, key) = (store::unverified_host(options)?, self.key);
        Some(format!(
            "the connection to the database at {host} is not authenticated: set database.ca_file, or add \
             sslmode=verify-full and sslrootcert to {key}"
        ))
    }
}

/// Address of a database as files and settings have it.
#[derive(PartialEq, Eq)]
pub(crate) struct DatabaseAddress {
    url: String,
    ca_pem: Option<Vec<u8>>,
}

impl Source for DatabaseSource {
    type Contents = DatabaseAddress;
    type Value = PoolOptions;
    type Error = anyhow::Error;

    fn read(&self) -> anyhow::Result<DatabaseAddress> {
        let url = match &self.url_file {
            None => self.url.clone(),
            Some(path) => {
                let bytes = mtls::read_file(path)
                    .with_context(|| format!("{}_file: cannot read {}", self.key, path.display()))?;
                let text = String::from_utf8(bytes)
                    .ok()
                    .with_context(|| format!("{}_file: {} is not UTF-8", self.key, path.display()))?;
                text.trim().to_owned()
            }
        };
        let ca_pem = self.ca_file.as_ref().map(|path| {
            mtls::read_file(path).with_context(|| format!("database.ca_file: cannot read {}", path.display()))
        });
        Ok(DatabaseAddress { url, ca_pem: ca_pem.transpose()? })
    }

    fn build(&self, contents: &DatabaseAddress) -> anyhow::Result<PoolOptions> {
        let DatabaseAddress { url, ca_pem } = contents;
        let key = match &self.url_file {
            None => self.key.to_owned(),
            Some(path) => format!("{}_file {}", self.key, path.display()),
        };
        if url.is_empty() {
            bail!("{key} has no URL; use postgres://user:password@host:port/database");
        }
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if let Some(other) = scheme.filter(|scheme| !["postgres", "postgresql"].contains(scheme)) {
            bail!(
                "{key} is not valid: the scheme is {other}; use postgres://user:password@host:port/database"
            );
        }
        if let Some((path, ca_pem)) = self.ca_file.as_ref().zip(ca_pem.as_ref()) {
            let wrong = |reason: String| anyhow::anyhow!("database.ca_file: {} {reason}", path.display());
            for certificate in mtls::read_certificates(ca_pem).map_err(wrong)? {
                if !mtls::read_facts(&certificate).map_err(wrong)?.is_ca {
                    return Err(wrong("contains a certificate that is not a CA's".to_owned()));
                }
            }
        }
        let options = PoolOptions { url: url.clone(), ca_pem: ca_pem.clone(), ..self.options.clone() };
        options.check().with_context(|| format!("{key} is not valid"))?;
        Ok(options)
    }
}

/// A pool, and the files that have the address of its database.
#[derive(Debug)]
pub(crate) struct ReloadedStore {
    pub(crate) store: Store,
    reloaded: Arc<Reloaded<DatabaseSource>>,
}

impl ReloadedStore {
    /// Reads the files and creates the pool. Blocks while it reads two small files.
    pub(crate) fn open(source: DatabaseSource) -> anyhow::Result<Self> {
        let reloaded = Arc::new(Reloaded::load(source)?);
        let store = Store::connect(&reloaded.current())?;
        Ok(Self { store, reloaded })
    }

    /// Applies changed files until the future is dropped. A file with an error changes nothing.
    async fn watch(&self) -> Infallible {
        let source = self.reloaded.source();
        let DatabaseSource { key, url_file, ca_file, .. } = source;
        if url_file.is_none() && ca_file.is_none() {
            return std::future::pending().await;
        }
        let reload = |options: anyhow::Result<Arc<PoolOptions>>| {
            let applied = options.and_then(|options| {
                self.store.reconnect(&options)?;
                Ok(source.unverified(&options))
            });
            if let Ok(Some(warning)) = &applied {
                tracing::warn!("{warning}");
            }
            report(key, applied.map(drop));
        };
        self.reloaded.watch(reload).await
    }
}

/// Where the master keys come from.
#[derive(Clone)]
pub(crate) struct MasterKeySource {
    /// Keys of the settings, which precede those of the file.
    pub(crate) keys: Vec<String>,
    pub(crate) file: Option<PathBuf>,
}

impl std::fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKeySource").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Source for MasterKeySource {
    type Contents = Vec<u8>;
    type Value = MasterKeys;
    type Error = anyhow::Error;

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        let Some(path) = &self.file else { return Ok(Vec::new()) };
        mtls::read_file(path)
            .with_context(|| format!("access.master_key_file: cannot read {}", path.display()))
    }

    fn build(&self, contents: &Vec<u8>) -> anyhow::Result<MasterKeys> {
        let text = String::from_utf8_lossy(contents);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let in_file: Vec<String> = lines.map(str::to_owned).collect();
        if let (Some(path), true) = (&self.file, in_file.is_empty()) {
            bail!("access.master_key_file: {} has no key", path.display());
        }
        MasterKeys::new(self.keys.iter().chain(&in_file))
            .context("access.master_keys or access.master_key_file")
    }
}

/// Master keys, and the file that has some of them.
#[derive(Debug)]
pub(crate) struct ReloadedKeys {
    /// Keys in use. Clones share a replacement.
    pub(crate) keys: MasterKeys,
    reloaded: Arc<Reloaded<MasterKeySource>>,
}

impl ReloadedKeys {
    /// Reads the file. Blocks while it reads a small file.
    pub(crate) fn load(source: MasterKeySource) -> anyhow::Result<Self> {
        let reloaded = Arc::new(Reloaded::load(source)?);
        Ok(Self { keys: MasterKeys::clone(&reloaded.current()), reloaded })
    }

    /// Applies a changed file until the future is dropped. A file with an error changes nothing.
    async fn watch(&self) -> Infallible {
        if self.reloaded.source().file.is_none() {
            return std::future::pending().await;
        }
        let reload = |keys: anyhow::Result<Arc<MasterKeys>>| {
            report("access.master_keys", keys.map(|keys| self.keys.replace(&keys)));
        };
        self.reloaded.watch(reload).await
    }
}

/// Logs and counts a changed file. The error names the file and has none of its contents.
fn report(setting: &'static str, outcome: anyhow::Result<()>) {
    let result = if outcome.is_ok() { "accepted" } else { "refused" };
    metric::SETTING_RELOADS.increment(1, &[setting, result]);
    match outcome {
        Ok(()) => tracing::info!("new {setting} in use"),
        Err(error) => tracing::error!("new {setting} refused; the old one stays in use: {error:#}"),
    }
}

/// Serves while applying changed files.
pub(crate) async fn reloading<T>(
    stores: [Option<&ReloadedStore>; 2],
    keys: &ReloadedKeys,
    serving: impl Future<Output = T>,
) -> T {
    let [database, partitions] = stores.map(|store| async move {
        match store {
            Some(store) => store.watch().await,
            None => std::future::pending().await,
        }
    });
    tokio::select! {
        served = serving => served,
        never = database => match never {},
        never = partitions => match never {},
        never = keys.watch() => match never {},
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
