//! The error that rules and use cases return.

use std::fmt;

use super::{ErrorKind, FieldPath, Reason};

/// A failure of a rule or a use case, independent of any protocol.
///
/// `message` is for the client; `source` is for the log and never leaves the process.
#[derive(Debug)]
pub struct Error {
    /// Stable identifier of the cause; programs branch on it.
    pub reason: Reason,
    /// Field that breaks the rule, relative to the request; `None` if no single field is at fault.
    pub field: Option<FieldPath>,
    /// Human-readable problem and fix. The text never names `field`: each adapter adds the caller's
    /// field name as a prefix.
    pub message: String,
    /// Cause inside the server.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates a failure without a field.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, field: None, message: message.into(), source: None }
    }

    /// Creates a failure of a field.
    pub fn field(reason: Reason, field: impl Into<FieldPath>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(reason, message) }
    }

    /// Creates the error for a field without a value.
    pub fn required(field: impl Into<FieldPath>, message: impl Into<String>) -> Self {
        Self::field(Reason::FieldRequired, field, message)
    }

    /// Creates the error for a field whose value its rule does not allow.
    pub fn invalid(field: impl Into<FieldPath>, message: impl Into<String>) -> Self {
        Self::field(Reason::FieldInvalid, field, message)
    }

    /// Creates the error for a field whose number, length or number of entries is outside its
    /// limits.
    pub fn out_of_range(field: impl Into<FieldPath>, message: impl Into<String>) -> Self {
        Self::field(Reason::FieldOutOfRange, field, message)
    }

    /// Creates the error for a text that cannot be parsed. The caller adds the field with
    /// [`Self::within`].
    pub fn unreadable(message: impl Into<String>) -> Self {
        Self::new(Reason::FieldInvalid, message)
    }

    /// Creates the error for a server defect. The client does not see the cause.
    pub fn internal() -> Self {
        Self::new(Reason::Internal, "internal error; search the server log for the request id")
    }

    /// Returns the class of the failure.
    pub const fn kind(&self) -> ErrorKind {
        self.reason.kind()
    }

    /// Prefixes the field with a parent. The parent becomes the field of an invalid value without
    /// one.
    #[must_use]
    pub fn within(mut self, parent: impl Into<FieldPath>) -> Self {
        self.field = match self.field.take() {
            Some(field) => Some(field.within(parent)),
            None if self.kind() == ErrorKind::Invalid => Some(parent.into()),
            None => None,
        };
        self
    }

    /// Attaches the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the message, prefixed with the caller's name of the field.
    pub fn text(&self, field: Option<&str>) -> String {
        field.map_or_else(|| self.message.clone(), |field| format!("{field}: {}", self.message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_extends_the_field_of_an_error() {
        let field = |error: Error| error.field.map(|field| field.to_string());
        let count = Error::out_of_range("count", "0 is too small");
        assert_eq!(field(count.within("waves").within("rollout")).unwrap(), "rollout.waves.count");
        assert_eq!(field(Error::unreadable("x").within("on_halt")).unwrap(), "on_halt");
        assert_eq!(field(Error::new(Reason::TaskNotFound, "x").within("task")), None);
        let missing = Error::field(Reason::DesktopNotFound, "desktop_ids", "x").within("task");
        assert_eq!(field(missing).unwrap(), "task.desktop_ids");
    }

    #[test]
    fn text_has_the_name_that_the_caller_knows() {
        let error = Error::required("desktop_ids", "name at least one desktop");
        assert_eq!(error.text(Some("--desktop")), "--desktop: name at least one desktop");
        assert_eq!(error.to_string(), "desktop_ids: name at least one desktop");
        assert_eq!(error.text(None), "name at least one desktop");
    }
}
