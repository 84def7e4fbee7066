//! The service control manager learns the state of a service in another way, and starts a service
//! again only after an error.

/// Whether a service manager starts this process again after an orderly end.
pub fn is_supervised() -> bool {
    false
}

/// Reports nothing.
pub(crate) fn notify_ready() {}

/// Reports nothing.
pub(crate) fn notify_status(_status: &str) {}

/// Reports nothing.
pub(crate) fn notify_stopping() {}
