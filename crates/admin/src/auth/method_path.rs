//! The path of a call, as an extension of its request.

/// The path of a call, for what an idempotency key stands for.
#[derive(Debug, Clone)]
pub(crate) struct MethodPath(pub(crate) String);
