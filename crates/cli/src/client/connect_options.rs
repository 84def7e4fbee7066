//! Options of one connection, resolved from flags, environment and context.

use mtls::FilesGiven;

/// Where a call goes, with what.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectOptions {
    pub(crate) grpc: String,
    /// None where a certificate says who calls.
    pub(crate) token: Option<String>,
    pub(crate) files: FilesGiven,
    /// The context that it is from.
    pub(crate) context: Option<String>,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Way to {} by context {:?}", self.grpc, self.context)
    }
}
