//! Target of a connection.

use mtls::ProxySettings;

use super::address::{Address, Transport};

/// Address that a connection is opened to, and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) transport: Transport,
    /// Whether the caller has a client certificate.
    pub(crate) has_certificate: bool,
    pub(crate) proxies: ProxySettings,
}
