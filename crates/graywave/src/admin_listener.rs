//! Settings of the admin listener.

use std::path::PathBuf;

use anyhow::bail;
use mtls::WebFiles;
use serde::Deserialize;

/// Listener of schedulers for operators with a token alone: the admin service, health and
/// reflection, and not the service of workers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminListener {
    /// Listen address; unset, there is no such listener.
    pub(crate) listen: Option<String>,
    /// Server certificate with its intermediates, from any CA. Requires `key_file`.
    pub(crate) cert_file: Option<PathBuf>,
    /// Private key of the server certificate.
    pub(crate) key_file: Option<PathBuf>,
    /// Listens without TLS on other than loopback addresses. Tokens and scripts then cross the
    /// network in plain text, unless a proxy in front of the listener encrypts them.
    pub(crate) insecure: bool,
    /// Maximum number of open connections. Further connections are closed.
    pub(crate) max_connections: usize,
}

impl Default for AdminListener {
    fn default() -> Self {
        Self { listen: None, cert_file: None, key_file: None, insecure: false, max_connections: 1_000 }
    }
}

impl AdminListener {
    /// Returns the files of the server certificate; `None` if none are configured.
    pub(crate) fn files(&self) -> anyhow::Result<Option<WebFiles>> {
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(WebFiles { cert: cert.clone(), key: key.clone() })),
            _ => bail!("admin.cert_file and admin.key_file belong together: set both, or none"),
        }
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.files()?.is_some() && self.listen.is_none() {
            bail!("admin.cert_file requires admin.listen, like 0.0.0.0:9091");
        }
        if self.max_connections == 0 {
            bail!("admin.max_connections must be at least 1");
        }
        Ok(())
    }
}
