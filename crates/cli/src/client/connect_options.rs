//! Options of one connection, resolved from flags, environment and context.

use mtls::FilesGiven;

/// Address of a control plane, and the credentials for it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectOptions {
    pub(crate) grpc: String,
    /// Bearer token; `None` if a client certificate identifies the caller.
    pub(crate) token: Option<String>,
    pub(crate) files: FilesGiven,
    /// Name of the context that the options come from; `None` without a context.
    pub(crate) context: Option<String>,
    /// Number of desktops in one wave above which `graywave run` asks first.
    pub(crate) confirm_above: u32,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectOptions to {} from context {:?}", self.grpc, self.context)
    }
}
