//! Settings: one TOML file, with any key overridden by `GRAYWAVE__SECTION__KEY`. `DATABASE_URL` is
//! honoured.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use api::{GivenScriptSettings, InstallOptions, ScriptSettings};
use chrono::TimeDelta;
use config::{Config, Environment, File, FileFormat};
use control::{Access, AccessKey, Credentials, Defaults, MasterKeys, RequestLimits, Token};
use domain::{ids::ProjectId, limits::MAX_CERTIFICATE_DAYS};
use mtls::{FilesGiven, IssuerFiles, WebFiles};
use serde::Deserialize;
use store::PoolOptions;

use crate::{
    admin_listener::AdminListener,
    console_settings::ConsoleSettings,
    reload::{DatabaseSource, MasterKeySource, ReloadedKeys, ReloadedStore},
};

/// All settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) database: Database,
    pub(crate) api: Api,
    pub(crate) admin: AdminListener,
    pub(crate) console: ConsoleSettings,
    pub(crate) access: AccessSettings,
    pub(crate) tasks: Tasks,
    pub(crate) scheduler: scheduler::Config,
    pub(crate) retention: scheduler::Retention,
    pub(crate) worker: worker::Config,
    pub(crate) tls: FilesGiven,
    /// Certificate and key with which schedulers sign orders.
    pub(crate) orders: mtls::SignerFilesGiven,
    pub(crate) enrolment: EnrolmentSettings,
    pub(crate) telemetry: telemetry::Config,
}

/// Maximum number of connections that a scheduler reserves for the signs of life of workers.
const MAX_LIVENESS_CONNECTIONS: u32 = 4;

/// Maximum number of connections that a scheduler reserves for lists over admin gRPC: results of
/// agents need the others.
const MAX_SCHEDULER_LISTS: u32 = 3;

/// Maximum number of connections of the role that owns the partitions: one creates them, one drops
/// them.
const PARTITION_CONNECTIONS: u32 = 2;

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Database {
    /// URL of the database: `postgres://user:password@host:port/database`.
    pub(crate) url: String,
    /// File with the URL, instead of `url`. Read again when it changes.
    pub(crate) url_file: Option<PathBuf>,
    /// URL with the role that owns the partitions, for schedulers; empty if the role of `url` does.
    pub(crate) partition_url: String,
    /// File with that URL, instead of `partition_url`. Read again when it changes.
    pub(crate) partition_url_file: Option<PathBuf>,
    /// Certificates of the CAs of the database. With them, every connection is encrypted and
    /// verified (`sslmode=verify-full`). They add to the public web CAs of the driver, which stay
    /// accepted. Read again when it changes.
    pub(crate) ca_file: Option<PathBuf>,
    /// Maximum number of connections of one process.
    pub(crate) max_connections: u32,
    /// Time that a call waits for a free connection before it fails.
    pub(crate) acquire_timeout_ms: u64,
    /// Maximum time of one statement of a list or a count.
    pub(crate) list_timeout_ms: u64,
}

/// The REST API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// Listen address for clients; if unset, port 8080 of all addresses with HTTPS, and of the
    /// loopback address without.
    pub(crate) listen: Option<String>,
    /// Server certificate with its intermediates, for HTTPS. Requires `tls_key_file`.
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// Private key of the server certificate.
    pub(crate) tls_key_file: Option<PathBuf>,
    /// Listens without HTTPS on other than loopback addresses. Credentials and scripts then cross
    /// the network in plain text, unless a proxy in front of the API encrypts them.
    pub(crate) insecure: bool,
    /// Bearer tokens, each `project_id:token`. A token has at least 16 characters.
    pub(crate) tokens: Vec<String>,
    /// Access keys, each `project_id:access_key:secret_key`. A secret key has at least 16
    /// characters.
    pub(crate) keys: Vec<String>,
    /// Maximum duration of a request.
    pub(crate) request_timeout_ms: u64,
    /// Maximum body size of a request that runs something, in bytes.
    pub(crate) max_execution_body_bytes: usize,
    /// Maximum total size of all bodies in flight, in bytes.
    pub(crate) body_budget_bytes: usize,
    /// Maximum number of open connections. Further connections are closed.
    pub(crate) max_connections: usize,
    /// Maximum number of requests in flight. Further requests are refused with 503.
    pub(crate) max_in_flight: usize,
    /// Maximum requests per second of one principal. Further requests are refused with 429.
    pub(crate) rate_per_second: NonZeroU32,
    /// Maximum burst of requests of one principal.
    pub(crate) rate_burst: NonZeroU32,
    /// URL of this API as machines reach it, for the install scripts.
    pub(crate) public_url: String,
    /// URLs of workers as agents reach them, for the install scripts.
    pub(crate) agents_urls: Vec<String>,
    /// CAs of the workers, for the install scripts; `tls.ca_file` if unset.
    pub(crate) ca_file: Option<PathBuf>,
    /// Directory with SHA256SUMS and the files that it lists, which the API serves.
    pub(crate) artefacts_dir: Option<PathBuf>,
    /// URL of the artefacts; `/artefacts` of this API if empty.
    pub(crate) artefacts_url: String,
    /// SHA-256 of SHA256SUMS, if the artefacts are at another place.
    pub(crate) artefacts_sha256: String,
}

impl Api {
    /// Returns the address to listen on.
    pub(crate) fn address(&self) -> &str {
        let is_open = self.insecure || self.tls_cert_file.is_some();
        self.listen.as_deref().unwrap_or(if is_open { "0.0.0.0:8080" } else { "127.0.0.1:8080" })
    }

    /// Returns the files for HTTPS; `None` if none are configured.
    pub(crate) fn tls_files(&self) -> anyhow::Result<Option<WebFiles>> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(WebFiles { cert: cert.clone(), key: key.clone() })),
            _ => bail!("api.tls_cert_file and api.tls_key_file belong together: set both, or none"),
        }
    }
}

/// Keys that encrypt secret keys in the database.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccessSettings {
    /// Keys of 64 hex digits: the first encrypts, all decrypt.
    pub(crate) master_keys: Vec<String>,
    /// File with further keys, one per line. They follow those of `master_keys`. Read again when it
    /// changes.
    pub(crate) master_key_file: Option<PathBuf>,
    /// Principals that administer the cluster with a token or a key, each `project_id:principal`.
    pub(crate) cluster_admins: Vec<String>,
}

impl AccessSettings {
    /// Parses the principals that administer the cluster.
    pub(crate) fn cluster_admins(&self) -> anyhow::Result<Vec<(ProjectId, String)>> {
        let parse = |text: &String| {
            let (project_id, principal) =
                text.split_once(':').filter(|(_, principal)| !principal.is_empty())?;
            Some((project_id.parse().ok()?, principal.to_owned()))
        };
        let parsed = self.cluster_admins.iter().map(|text| {
            parse(text)
                .with_context(|| format!("access.cluster_admins: {text:?} is not project_id:principal"))
        });
        parsed.collect()
    }

    /// Reads the keys from the settings and the file.
    pub(crate) fn master_keys(&self) -> anyhow::Result<ReloadedKeys> {
        let (keys, file) = (self.master_keys.clone(), self.master_key_file.clone());
        ReloadedKeys::load(MasterKeySource { keys, file })
    }
}

/// Issuer of desktop certificates, and their lifetime.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EnrolmentSettings {
    /// Certificate of the issuer, from `graywave ca issuer`. Both files are read again for each
    /// signature.
    pub(crate) issuer_cert_file: Option<PathBuf>,
    /// Private key of the issuer.
    pub(crate) issuer_key_file: Option<PathBuf>,
    /// Lifetime of a certificate in days. Fractions are allowed.
    pub(crate) certificate_days: f64,
}

impl Default for EnrolmentSettings {
    fn default() -> Self {
        Self { issuer_cert_file: None, issuer_key_file: None, certificate_days: 30.0 }
    }
}

impl EnrolmentSettings {
    /// Returns the issuer's files, or `None` if neither is set. Fails if only one is set.
    pub(crate) fn files(&self) -> anyhow::Result<Option<IssuerFiles>> {
        match (&self.issuer_cert_file, &self.issuer_key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(IssuerFiles { cert: cert.clone(), key: key.clone() })),
            _ => bail!("enrolment: set both issuer_cert_file and issuer_key_file, or neither"),
        }
    }

    /// Returns the lifetime of a certificate.
    pub(crate) fn life(&self) -> TimeDelta {
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a few years at most")]
        TimeDelta::milliseconds((self.certificate_days * 86_400_000.0) as i64)
    }

    fn check(&self, tls: &FilesGiven) -> anyhow::Result<()> {
        if self.files()?.is_some() && tls.ca_file.is_none() {
            bail!("enrolment requires TLS; set tls.ca_file, tls.cert_file and tls.key_file");
        }
        let days = self.certificate_days;
        if !(days > 0.0 && days <= MAX_CERTIFICATE_DAYS) {
            bail!("enrolment.certificate_days must be more than 0 and at most {MAX_CERTIFICATE_DAYS}");
        }
        Ok(())
    }
}

/// Default limits of a task.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tasks {
    /// Maximum duration of one script.
    pub(crate) execution_timeout_ms: i64,
    /// Time that a target waits for its desktop.
    pub(crate) delivery_timeout_ms: i64,
    /// Time that a result may take to arrive after the script's timeout. Then its target is
    /// UNKNOWN.
    pub(crate) result_grace_ms: i64,
    /// Maximum number of open tasks per project. Further tasks are refused with 429.
    pub(crate) max_open_per_project: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: String::new(),
            url_file: None,
            partition_url: String::new(),
            partition_url_file: None,
            ca_file: None,
            max_connections: 20,
            acquire_timeout_ms: 5_000,
            list_timeout_ms: 20_000,
        }
    }
}

impl Database {
    /// Returns where the URL comes from; `None` if none is configured.
    pub(crate) fn source(&self) -> Option<DatabaseSource> {
        self.source_of("database.url", &self.url, self.url_file.as_ref(), self.max_connections)
    }

    /// Returns where the URL of the role that owns the partitions comes from; `None` if none is
    /// configured.
    pub(crate) fn partition_source(&self) -> Option<DatabaseSource> {
        let (url, file) = (&self.partition_url, self.partition_url_file.as_ref());
        self.source_of("database.partition_url", url, file, PARTITION_CONNECTIONS)
    }

    fn source_of(
        &self,
        key: &'static str,
        url: &str,
        url_file: Option<&PathBuf>,
        max_connections: u32,
    ) -> Option<DatabaseSource> {
        let options = PoolOptions {
            max_connections,
            acquire_timeout: Duration::from_millis(self.acquire_timeout_ms),
            ..PoolOptions::new("")
        };
        let (url_file, ca_file) = (url_file.cloned(), self.ca_file.clone());
        let is_configured = !url.is_empty() || url_file.is_some();
        is_configured.then(|| DatabaseSource { key, url: url.to_owned(), url_file, ca_file, options })
    }

    fn check_files(&self) -> anyhow::Result<()> {
        for (key, url, file) in [
            ("url", &self.url, &self.url_file),
            ("partition_url", &self.partition_url, &self.partition_url_file),
        ] {
            if !url.is_empty() && file.is_some() {
                bail!("database.{key} and database.{key}_file exclude each other: set one of them");
            }
        }
        Ok(())
    }
}

impl Default for Api {
    fn default() -> Self {
        let options = api::Options::default();
        Self {
            listen: None,
            tls_cert_file: None,
            tls_key_file: None,
            insecure: false,
            tokens: Vec::new(),
            keys: Vec::new(),
            request_timeout_ms: 60_000,
            max_execution_body_bytes: options.max_execution_body_bytes,
            body_budget_bytes: options.body_budget_bytes,
            max_connections: 10_000,
            max_in_flight: options.max_in_flight,
            rate_per_second: options.rate_per_second,
            rate_burst: options.rate_burst,
            public_url: String::new(),
            agents_urls: Vec::new(),
            ca_file: None,
            artefacts_dir: None,
            artefacts_url: String::new(),
            artefacts_sha256: String::new(),
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        let defaults = Defaults::default();
        Self {
            execution_timeout_ms: defaults.execution_timeout.num_milliseconds(),
            delivery_timeout_ms: defaults.delivery_timeout.num_milliseconds(),
            result_grace_ms: defaults.result_grace.num_milliseconds(),
            max_open_per_project: defaults.max_open_per_project,
        }
    }
}

impl Settings {
    /// Reads and validates the file, if any, and the environment.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::from_source(file, Environment::with_prefix("GRAYWAVE"), std::env::var("DATABASE_URL").ok())
    }

    fn from_source(
        file: Option<&Path>,
        environment: Environment,
        database_url: Option<String>,
    ) -> anyhow::Result<Self> {
        let mut builder = Config::builder();
        if let Some(path) = file {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        let environment = environment
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("api.tokens")
            .with_list_parse_key("api.keys")
            .with_list_parse_key("api.agents_urls")
            .with_list_parse_key("access.master_keys")
            .with_list_parse_key("access.cluster_admins")
            .with_list_parse_key("worker.scheduler_urls");
        let mut settings: Self = builder
            .add_source(environment)
            .build()?
            .try_deserialize()
            .context("the configuration is not valid")?;
        if settings.database.url.is_empty() && settings.database.url_file.is_none() {
            settings.database.url = database_url.unwrap_or_default();
        }
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        self.access(self.access.master_keys()?.keys)?;
        self.access.cluster_admins()?;
        if self.api.max_in_flight == 0 {
            bail!("api.max_in_flight must be at least 1");
        }
        if self.api.max_connections == 0 {
            bail!("api.max_connections must be at least 1");
        }
        self.api.tls_files()?;
        self.install_options()?;
        self.admin.check()?;
        self.console.check()?;
        self.scheduler.check().map_err(anyhow::Error::msg)?;
        self.retention.check().map_err(anyhow::Error::msg)?;
        self.worker.check().map_err(anyhow::Error::msg)?;
        self.telemetry.check().map_err(anyhow::Error::msg)?;
        let tls = self.tls.all_or_none().map_err(anyhow::Error::msg).context("tls")?;
        let orders = self.orders.both_or_none().map_err(anyhow::Error::msg).context("orders")?;
        if orders.is_some() && tls.is_none() {
            bail!("orders requires TLS; set tls.ca_file, tls.cert_file and tls.key_file");
        }
        self.enrolment.check(&self.tls)?;
        self.database.check_files()?;
        if self.database.list_timeout_ms == 0 {
            bail!("database.list_timeout_ms must be at least 1");
        }
        if self.database.max_connections < 2 {
            bail!("database.max_connections must be at least 2: one of them listens for notifications");
        }
        let tasks = &self.tasks;
        if tasks.execution_timeout_ms < 1 || tasks.delivery_timeout_ms < 1 || tasks.result_grace_ms < 0 {
            bail!(
                "tasks: execution_timeout_ms and delivery_timeout_ms must be at least 1, and result_grace_ms at least 0"
            );
        }
        if tasks.max_open_per_project == 0 {
            bail!("tasks.max_open_per_project must be at least 1");
        }
        Ok(())
    }

    /// Creates a pool for the configured database.
    pub(crate) fn store(&self) -> anyhow::Result<ReloadedStore> {
        self.store_with(0, list_connections(self.database.max_connections))
    }

    /// Creates the pool of a scheduler, which reserves a fifth of its connections for the signs of
    /// life of workers. Pools of fewer than five connections reserve none.
    pub(crate) fn scheduler_store(&self) -> anyhow::Result<ReloadedStore> {
        let liveness = (self.database.max_connections / 5).min(MAX_LIVENESS_CONNECTIONS);
        self.store_with(liveness, list_connections(self.database.max_connections).min(MAX_SCHEDULER_LISTS))
    }

    fn store_with(&self, liveness_connections: u32, list_connections: u32) -> anyhow::Result<ReloadedStore> {
        let Some(source) = self.database.source() else {
            bail!("no database is configured: set DATABASE_URL, database.url or database.url_file");
        };
        let options = PoolOptions {
            max_connections: self.database.max_connections,
            liveness_connections,
            list_connections,
            list_timeout: Duration::from_millis(self.database.list_timeout_ms),
            ..source.options
        };
        ReloadedStore::open(DatabaseSource { options, ..source })
    }

    /// Creates the pool with which a scheduler creates and drops partitions; `None` if the role of
    /// `database.url` does.
    pub(crate) fn partition_store(&self) -> anyhow::Result<Option<ReloadedStore>> {
        self.database.partition_source().map(ReloadedStore::open).transpose()
    }

    /// Returns the configured credentials, with the master keys for those in the database.
    pub(crate) fn access(&self, master_keys: MasterKeys) -> anyhow::Result<Access> {
        let tokens = self.api.tokens.iter().map(|text| text.parse::<Token>());
        let keys = self.api.keys.iter().map(|text| text.parse::<AccessKey>());
        let fixed = Credentials::new(
            tokens.collect::<Result<_, _>>().context("api.tokens")?,
            keys.collect::<Result<_, _>>().context("api.keys")?,
        );
        Ok(Access { fixed, master_keys })
    }

    /// Returns the settings of scripts and artefacts for the installation of agents.
    fn install_options(&self) -> anyhow::Result<InstallOptions> {
        let given = GivenScriptSettings {
            public_url: self.api.public_url.clone(),
            agents_urls: self.api.agents_urls.clone(),
            ca_file: self.api.ca_file.clone().or_else(|| self.tls.ca_file.clone()),
            artefacts_url: self.api.artefacts_url.clone(),
            artefacts_sha256: self.api.artefacts_sha256.clone(),
            has_artefacts_dir: self.api.artefacts_dir.is_some(),
        };
        let scripts = ScriptSettings::check(given).map_err(anyhow::Error::msg)?;
        Ok(InstallOptions { scripts, artefacts_dir: self.api.artefacts_dir.clone() })
    }

    /// Returns the options of the REST API.
    pub(crate) fn api_options(&self) -> anyhow::Result<api::Options> {
        Ok(api::Options {
            install: self.install_options()?,
            request_timeout: Duration::from_millis(self.api.request_timeout_ms),
            max_execution_body_bytes: self.api.max_execution_body_bytes,
            body_budget_bytes: self.api.body_budget_bytes,
            max_in_flight: self.api.max_in_flight,
            rate_per_second: self.api.rate_per_second,
            rate_burst: self.api.rate_burst,
            console: self.console.options()?,
            ..api::Options::default()
        })
    }

    /// Returns the limits of the admin service, which are those of the REST API.
    pub(crate) fn admin_limits(&self) -> RequestLimits {
        RequestLimits {
            request_timeout: Duration::from_millis(self.api.request_timeout_ms),
            body_budget_bytes: self.api.body_budget_bytes,
            max_in_flight: self.api.max_in_flight,
            rate_per_second: self.api.rate_per_second,
            rate_burst: self.api.rate_burst,
        }
    }

    /// Returns the default limits of a task.
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults {
            execution_timeout: TimeDelta::milliseconds(self.tasks.execution_timeout_ms),
            delivery_timeout: TimeDelta::milliseconds(self.tasks.delivery_timeout_ms),
            result_grace: TimeDelta::milliseconds(self.tasks.result_grace_ms),
            max_open_per_project: self.tasks.max_open_per_project,
        }
    }
}

/// Returns the number of connections of a process that only lists use: a quarter. Fewer than four
/// connections reserve none.
pub(crate) const fn list_connections(max_connections: u32) -> u32 {
    max_connections / 4
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
