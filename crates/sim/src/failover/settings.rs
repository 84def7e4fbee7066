//! Settings of Patroni.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::address::Address;

/// The same for both nodes.
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) etcd: String,
    /// Postgres's programs.
    pub(crate) binaries: PathBuf,
    /// Whether a commit is acknowledged only when the standby has it.
    pub(crate) synchronous: bool,
}

impl Settings {
    /// One node's file. JSON is YAML.
    pub(crate) fn text(&self, address: &Address, replication: &str, home: &Path) -> anyhow::Result<String> {
        let trusted = ["local all all trust", "host all all 127.0.0.1/32 trust"];
        let replicates = "host replication all 127.0.0.1/32 trust";
        let settings = json!({
            "scope": "graywave",
            "name": address.name,
            "restapi": {"listen": address.rest, "connect_address": address.rest},
            "etcd3": {"host": self.etcd},
            "bootstrap": {
                "dcs": self.shared_settings(),
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
            },
            "postgresql": {
                "listen": address.postgres,
                // The other node comes by the link, which can lose what is on its way.
                "connect_address": replication,
                "data_dir": home.join("data"),
                "bin_dir": self.binaries,
                "pgpass": home.join("pgpass"),
                "authentication": {
                    "superuser": {"username": "graywave"},
                    "replication": {"username": "replicator"},
                },
                "parameters": {"unix_socket_directories": home},
                "pg_hba": [trusted[0], trusted[1], replicates],
                "remove_data_directory_on_rewind_failure": true,
                "remove_data_directory_on_diverged_timelines": true,
            },
        });
        Ok(serde_json::to_string_pretty(&settings)?)
    }

    /// What the nodes keep in etcd and agree on.
    ///
    /// `synchronous_mode` makes commits wait for the standby, and lets only one that has all of
    /// them become primary. Alone it gives up waiting when there is no standby, so what is
    /// acknowledged then is lost with the primary; `synchronous_mode_strict` waits instead: nothing
    /// is stored until a standby is back. Control planes that hold results can wait, since agents
    /// keep theirs until they are acknowledged.
    fn shared_settings(&self) -> serde_json::Value {
        json!({
            // Time until the lock of a dead primary expires: the minimum that the other two
            // settings allow.
            "ttl": 8,
            "loop_wait": 1,
            "retry_timeout": 3,
            "maximum_lag_on_failover": 1_048_576,
            "synchronous_mode": self.synchronous,
            "synchronous_mode_strict": self.synchronous,
            "postgresql": {
                "use_pg_rewind": true,
                "use_slots": true,
                "parameters": {
                    "max_connections": 200,
                    "shared_buffers": "256MB",
                    "wal_keep_size": "512MB",
                    "synchronous_commit": "on",
                },
            },
        })
    }
}
