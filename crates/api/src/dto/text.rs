//! Optional texts in responses.

/// Converts an empty text to `None`.
pub(crate) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
