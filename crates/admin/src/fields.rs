//! The field that an error is about: the rules begin their messages with its name.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// Parts of requests that the rules know nothing of: what is named is inside of them.
const PARTS: [(&str, &str); 5] = [
    ("task", "TaskSpec"),
    ("script", "Script"),
    ("limits", "Limits"),
    ("filter", "RecordFilter"),
    ("rollout", "Rollout"),
];

/// Every message of the admin service by its name.
static MESSAGES: LazyLock<HashMap<String, DescriptorProto>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap_or_default().file;
    let ours = files.into_iter().filter(|file| file.package() == "graywave.admin.v1");
    ours.flat_map(|file| file.message_type).map(|message| (message.name().to_owned(), message)).collect()
});

/// The name of every field.
static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    MESSAGES.values().flat_map(|message| &message.field).map(|field| field.name().to_owned()).collect()
});

/// The path, from the request on, of the field that a message begins with; the part alone where it begins with none, or where the
/// part has no fields.
pub(crate) fn path(part: &str, message: &str) -> String {
    match (part, named_by(message)) {
        (part, None) => part.to_owned(),
        ("", Some(field)) => field.to_owned(),
        // The rules know it by the part's name already.
        (part, Some(field)) if root(field) == Some(part) => field.to_owned(),
        (part, Some(_)) if !PARTS.iter().any(|(name, _)| *name == part) => part.to_owned(),
        (part, Some(field)) => format!("{part}.{}{field}", above(part, field)),
    }
}

/// What a message begins with, if that is a field.
fn named_by(message: &str) -> Option<&str> {
    let first = message.split([' ', ':', ',']).next()?;
    NAMES.contains(root(first)?).then_some(first)
}

fn root(path: &str) -> Option<&str> {
    path.split(['.', '[']).next()
}

/// The fields between a part and a field of a message within it, each with a point behind it. Nothing where the part has the
/// field itself, or where no message within it has it.
fn above(part: &str, field: &str) -> String {
    let Some(root) = root(field) else { return String::new() };
    let message =
        PARTS.iter().find(|(name, _)| *name == part).and_then(|(_, message)| MESSAGES.get(*message));
    let Some(message) = message.filter(|message| !has(message, root)) else { return String::new() };
    let inside = message.field.iter().filter(|field| field.r#type() == Type::Message);
    let found = inside.filter_map(|field| {
        let inner = MESSAGES.get(field.type_name().rsplit('.').next()?)?;
        has(inner, root).then(|| format!("{}.", field.name()))
    });
    found.into_iter().next().unwrap_or_default()
}

fn has(message: &DescriptorProto, name: &str) -> bool {
    message.field.iter().any(|field| field.name() == name)
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

    #[test]
    fn every_part_is_a_message() {
        assert!(PARTS.iter().all(|(_, message)| MESSAGES.contains_key(*message)));
    }
}
