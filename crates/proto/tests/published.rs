//! Checks that published field names, numbers, types, enum values and RPCs never change.
//! `published.txt` lists all of them.

#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// Environment variable that makes the test write new entries to `published.txt`.
const PUBLISH: &str = "GRAYWAVE_PUBLISH";

/// Published entries: description by full name.
type Published = BTreeMap<String, String>;

#[test]
fn nothing_that_was_published_is_taken_away_or_changed() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("published.txt");
    let before: Published = fs::read_to_string(&path).unwrap_or_default().lines().map(read).collect();
    let now = published();
    let broken = broken(&before, &now);
    assert!(
        broken.is_empty(),
        "published names changed, which breaks existing clients. Restore them, and add new ones instead:\n  {}",
        broken.join("\n  ")
    );
    if before == now {
        return;
    }
    assert!(
        std::env::var_os(PUBLISH).is_some(),
        "new names are not in published.txt: run this test with {PUBLISH}=1 and commit the file"
    );
    let text: String = now.iter().map(|(name, what)| format!("{name} = {what}\n")).collect();
    fs::write(path, text).unwrap();
}

#[test]
fn a_removal_and_a_change_are_noticed_and_an_addition_is_none() {
    let all = |lines: &[&str]| lines.iter().map(|line| read(line)).collect::<Published>();
    let before = all(&["p.M.a = 1 string", "p.M.b = 2 int32"]);
    assert!(broken(&before, &before).is_empty());
    assert!(broken(&before, &all(&["p.M.a = 1 string", "p.M.b = 2 int32", "p.M.c = 3 bool"])).is_empty());
    assert_eq!(broken(&before, &all(&["p.M.a = 1 string"])), ["p.M.b was removed: it was 2 int32"]);
    let changed = all(&["p.M.a = 1 string", "p.M.b = 3 int32"]);
    assert_eq!(broken(&before, &changed), ["p.M.b changed from 2 int32 to 3 int32"]);
}

fn read(line: &str) -> (String, String) {
    let (name, what) = line.split_once(" = ").unwrap();
    (name.to_owned(), what.to_owned())
}

fn broken(before: &Published, now: &Published) -> Vec<String> {
    let change = |(name, was): (&String, &String)| match now.get(name) {
        None => Some(format!("{name} was removed: it was {was}")),
        Some(is) if is != was => Some(format!("{name} changed from {was} to {is}")),
        Some(_) => None,
    };
    before.iter().filter_map(change).collect()
}

/// Entries of all Graywave packages in the compiled descriptors.
fn published() -> Published {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let mut found = Published::new();
    for file in files.iter().filter(|file| file.package().starts_with("graywave.")) {
        let package = file.package();
        file.message_type.iter().for_each(|message| of_message(package, message, &mut found));
        file.enum_type.iter().for_each(|one| of_enum(package, one, &mut found));
        file.service.iter().for_each(|service| of_service(package, service, &mut found));
    }
    let packages: BTreeSet<_> = found.keys().filter_map(|name| name.split(".v1.").next()).collect();
    assert_eq!(packages.len(), 5, "{packages:?}");
    found
}

fn of_message(scope: &str, message: &DescriptorProto, found: &mut Published) {
    let name = format!("{scope}.{}", message.name());
    for field in &message.field {
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
        let oneof = oneof.and_then(|place| message.oneof_decl.get(usize::try_from(place).ok()?));
        let within = oneof.map(|oneof| format!(" in {}", oneof.name())).unwrap_or_default();
        found.insert(
            format!("{name}.{}", field.name()),
            format!("{} {}{within}", field.number(), type_of(field)),
        );
    }
    message.nested_type.iter().for_each(|nested| of_message(&name, nested, found));
    message.enum_type.iter().for_each(|one| of_enum(&name, one, found));
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ => "",
    };
    let name = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        plain => plain.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    format!("{label}{name}")
}

fn of_enum(scope: &str, one: &EnumDescriptorProto, found: &mut Published) {
    for value in &one.value {
        found.insert(format!("{scope}.{}.{}", one.name(), value.name()), value.number().to_string());
    }
}

fn of_service(package: &str, service: &ServiceDescriptorProto, found: &mut Published) {
    let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
    for method in &service.method {
        let (request, response) = (stream(method.client_streaming()), stream(method.server_streaming()));
        let (input, output) = (method.input_type(), method.output_type());
        found.insert(
            format!("{package}.{}/{}", service.name(), method.name()),
            format!(
                "{request}{} to {response}{}",
                input.trim_start_matches('.'),
                output.trim_start_matches('.')
            ),
        );
    }
}
