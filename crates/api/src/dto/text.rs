//! Texts in answers.

/// A text that is absent when it says nothing.
pub(crate) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
