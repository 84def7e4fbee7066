//! The settings: one TOML file, any key overridden by `GRAYWAVE__SECTION__KEY`; `DATABASE_URL` is honoured.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use config::{Config, Environment, File, FileFormat};
use control::{AccessKey, Credentials, Defaults, Token};
use serde::Deserialize;
use store::{PoolOptions, Store};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) database: Database,
    pub(crate) api: Api,
    pub(crate) tasks: Tasks,
    pub(crate) scheduler: scheduler::Config,
    pub(crate) worker: worker::Config,
    pub(crate) telemetry: telemetry::Config,
}

/// Where rows are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Database {
    /// `postgres://user:password@host:port/database`.
    pub(crate) url: String,
    /// Connections of one process at most.
    pub(crate) max_connections: u32,
    /// How long a call waits for a connection before it is told that the database does not answer.
    pub(crate) acquire_timeout_ms: u64,
}

/// The REST API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// Address on which clients are waited for.
    pub(crate) listen: String,
    /// Who may call, each `project_id:token`; the token has at least 16 characters.
    pub(crate) tokens: Vec<String>,
    /// Who may sign, each `project_id:access_key:secret_key`; the secret key has at least 16 characters.
    pub(crate) keys: Vec<String>,
    /// How long one request may take.
    pub(crate) request_timeout_ms: u64,
}

/// The limits that a task is accepted with where it does not say otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tasks {
    /// How long one script may run.
    pub(crate) execution_timeout_ms: i64,
    /// How long a target waits for its desktop.
    pub(crate) delivery_timeout_ms: i64,
    /// How long a result may travel before its target counts as UNKNOWN.
    pub(crate) result_grace_ms: i64,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: String::new(), max_connections: 20, acquire_timeout_ms: 5_000 }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".into(),
            tokens: Vec::new(),
            keys: Vec::new(),
            request_timeout_ms: 60_000,
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
        }
    }
}

impl Settings {
    /// Reads the file, if one is named, and the environment, and checks both.
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
            .with_list_parse_key("worker.scheduler_urls");
        let mut settings: Self = builder
            .add_source(environment)
            .build()?
            .try_deserialize()
            .context("the configuration is not valid")?;
        if settings.database.url.is_empty() {
            settings.database.url = database_url.unwrap_or_default();
        }
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        self.credentials()?;
        self.scheduler.check().map_err(anyhow::Error::msg)?;
        self.worker.check().map_err(anyhow::Error::msg)?;
        if self.database.max_connections < 2 {
            bail!("database.max_connections must be at least 2: one of them listens for notifications");
        }
        let tasks = &self.tasks;
        if tasks.execution_timeout_ms < 1 || tasks.delivery_timeout_ms < 1 || tasks.result_grace_ms < 0 {
            bail!("tasks: the timeouts must be at least 1 ms, and result_grace_ms no less than 0");
        }
        Ok(())
    }

    /// A pool on the configured database.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        if self.database.url.is_empty() {
            bail!("no database is configured: set DATABASE_URL, or database.url in the configuration");
        }
        let options = PoolOptions {
            max_connections: self.database.max_connections,
            acquire_timeout: Duration::from_millis(self.database.acquire_timeout_ms),
            ..PoolOptions::new(&self.database.url)
        };
        Store::connect(&options).context("database.url is not valid")
    }

    /// Who may call.
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        let tokens = self.api.tokens.iter().map(|text| text.parse::<Token>());
        let keys = self.api.keys.iter().map(|text| text.parse::<AccessKey>());
        Ok(Credentials::new(
            tokens.collect::<Result<_, _>>().context("api.tokens")?,
            keys.collect::<Result<_, _>>().context("api.keys")?,
        ))
    }

    /// The limits that a task is accepted with.
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults {
            execution_timeout: TimeDelta::milliseconds(self.tasks.execution_timeout_ms),
            delivery_timeout: TimeDelta::milliseconds(self.tasks.delivery_timeout_ms),
            result_grace: TimeDelta::milliseconds(self.tasks.result_grace_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, variables: &[(&str, &str)], database_url: Option<&str>) -> anyhow::Result<Settings> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("graywave.toml");
        std::fs::write(&path, toml)?;
        let variables =
            variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let environment = Environment::with_prefix("GRAYWAVE").source(Some(variables));
        Settings::from_source(Some(&path), environment, database_url.map(str::to_owned))
    }

    #[test]
    fn the_environment_wins_over_the_file_and_lists_are_split() {
        let settings = load(
            "[api]\nlisten = \"127.0.0.1:1\"\n[scheduler]\nlease_ms = 5000\n",
            &[
                ("GRAYWAVE__API__LISTEN", "127.0.0.1:2"),
                ("GRAYWAVE__API__TOKENS", "p1:0123456789abcdef,p2:fedcba9876543210"),
                ("GRAYWAVE__WORKER__SCHEDULER_URLS", "http://a:1,http://b:2"),
            ],
            None,
        )
        .unwrap();
        assert_eq!(settings.api.listen, "127.0.0.1:2");
        assert_eq!(settings.api.tokens.len(), 2);
        assert_eq!(settings.worker.scheduler_urls, ["http://a:1", "http://b:2"]);
        assert_eq!(settings.scheduler.lease_ms, 5_000);
    }

    #[test]
    fn database_url_is_honoured_unless_the_configuration_names_one() {
        assert_eq!(load("", &[], Some("postgres://x/y")).unwrap().database.url, "postgres://x/y");
        let settings = load("[database]\nurl = \"postgres://a/b\"", &[], Some("postgres://x/y")).unwrap();
        assert_eq!(settings.database.url, "postgres://a/b");
        assert!(load("", &[], None).unwrap().store().unwrap_err().to_string().contains("DATABASE_URL"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |toml: &str| format!("{:#}", load(toml, &[], None).unwrap_err());
        assert!(wrong("[api]\nlisten_on = \"x\"").contains("listen_on"));
        assert!(wrong("[api]\ntokens = [\"p:short\"]").contains("16 characters"));
        assert!(wrong("[api]\nkeys = [\"p:ak\"]").contains("project_id:access_key:secret_key"));
        assert!(wrong("[scheduler]\nworker_timeout_ms = 1").contains("worker_timeout_ms"));
        assert!(wrong("[worker]\ncapacity = 0").contains("worker.capacity"));
        assert!(wrong("[tasks]\nexecution_timeout_ms = 0").contains("tasks"));
    }
}
