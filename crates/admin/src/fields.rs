//! The field that an error is about: the rules begin their messages with its name.

use std::{collections::HashSet, sync::LazyLock};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// The name of every field of the admin service.
static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap_or_default().file;
    let ours = files.into_iter().filter(|file| file.package() == "graywave.admin.v1");
    let mut names = HashSet::new();
    for message in ours.flat_map(|file| file.message_type) {
        collect(&message, &mut names);
    }
    names
});

fn collect(message: &DescriptorProto, names: &mut HashSet<String>) {
    names.extend(message.field.iter().map(|field| field.name().to_owned()));
    for nested in &message.nested_type {
        collect(nested, names);
    }
}

/// The path of the field that a message begins with, if it begins with one.
pub(crate) fn named_by(message: &str) -> Option<&str> {
    let first = message.split([' ', ':', ',']).next()?;
    let root = first.split(['.', '[']).next()?;
    NAMES.contains(root).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_field_is_taken_for_one() {
        assert_eq!(named_by("gray_count 9 is larger than the number of desktops, 5"), Some("gray_count"));
        assert_eq!(named_by("rollout.exit_codes.x: no exit code"), Some("rollout.exit_codes.x"));
        assert_eq!(named_by("the body is empty"), None);
        assert_eq!(named_by(""), None);
    }
}
