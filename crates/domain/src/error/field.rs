//! Field paths: locations in a request, independent of any protocol's spelling.

use std::{borrow::Cow, fmt};

use super::text::shorten;

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A field, by its name in the admin protocol.
    Name(Cow<'static, str>),
    /// An element of a list, from 0.
    Index(usize),
    /// An entry of a map, by its key, cut to 64 characters.
    Key(String),
}

/// Path of a field, from the outermost to the innermost field.
///
/// The rules use the admin protocol's names, because its request is the most complete one. An
/// adapter with other names translates the segments; no adapter parses messages to find the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// Creates a path from a name that the caller sent, such as a query parameter.
    pub fn dynamic(name: &str) -> Self {
        Self(vec![Segment::Name(Cow::Owned(shorten(name)))])
    }

    /// Appends a field.
    #[must_use]
    pub fn name(self, name: &'static str) -> Self {
        self.with(Segment::Name(Cow::Borrowed(name)))
    }

    /// Appends the index of an element, from 0.
    #[must_use]
    pub fn index(self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Appends the key of a map entry, cut to 64 characters.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.with(Segment::Key(shorten(key)))
    }

    /// Appends a segment.
    #[must_use]
    pub fn with(mut self, segment: Segment) -> Self {
        self.0.push(segment);
        self
    }

    /// Prefixes the path with a parent.
    #[must_use]
    pub fn within(self, parent: impl Into<Self>) -> Self {
        let Self(mut segments) = parent.into();
        segments.extend(self.0);
        Self(segments)
    }

    /// Returns the steps from the outermost to the innermost field; never empty.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl From<&'static str> for FieldPath {
    /// Parses names that are separated by dots, such as `rollout.approval.before_waves`.
    fn from(path: &'static str) -> Self {
        Self(path.split('.').map(|name| Segment::Name(Cow::Borrowed(name))).collect())
    }
}

impl From<Vec<Segment>> for FieldPath {
    fn from(segments: Vec<Segment>) -> Self {
        Self(segments)
    }
}

impl fmt::Display for FieldPath {
    /// Formats the path like JSON paths and proto field paths: `rollout.waves[1].count`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            match segment {
                Segment::Name(name) => write!(f, "{dot}{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_written_as_a_json_path() {
        let path = FieldPath::from("waves").index(1).name("fail_threshold").within("task.rollout");
        assert_eq!(path.to_string(), "task.rollout.waves[1].fail_threshold");
        assert_eq!(FieldPath::from("exit_codes").key("3010").to_string(), "exit_codes.3010");
        assert_eq!(path.segments().len(), 5);
    }

    #[test]
    fn long_key_is_cut() {
        let path = FieldPath::from("exit_codes").key(&"ü".repeat(100_000));
        assert!(path.to_string().chars().count() < 100);
        assert!(FieldPath::dynamic(&"x".repeat(100_000)).to_string().len() < 100);
    }
}
