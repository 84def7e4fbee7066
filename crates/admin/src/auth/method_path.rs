//! The path of a call, as an extension of its request.

/// Path of a call. The fingerprint of an idempotent request includes it.
#[derive(Debug, Clone)]
pub(crate) struct MethodPath(pub(crate) String);
