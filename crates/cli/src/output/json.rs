//! Messages of the admin service as JSON, with the keys and enum words of the REST API.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};
use serde_json::Value as Json;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).ok());

fn descriptor<M: Name>() -> Option<MessageDescriptor> {
    POOL.as_ref()?.get_message_by_name(&M::full_name())
}

/// Converts a message to JSON with every field. Enums become words, times RFC 3339, and absent
/// values null.
pub(crate) fn of<M: Message + Name>(message: &M) -> Json {
    let dynamic =
        descriptor::<M>().and_then(|it| DynamicMessage::decode(it, message.encode_to_vec().as_slice()).ok());
    // Descriptors and messages come from the same build, so decoding cannot fail.
    dynamic.map_or(Json::Null, |dynamic| object(&dynamic))
}

fn object(message: &DynamicMessage) -> Json {
    if message.descriptor().parent_file().package_name() == "google.protobuf" {
        return serde_json::to_value(message).unwrap_or_default();
    }
    let descriptor = message.descriptor();
    let fields = descriptor.fields().map(|field| {
        let value = match field.supports_presence() && !message.has_field(&field) {
            true => Json::Null,
            false => whole(&field, &message.get_field(&field)),
        };
        (field.name().to_owned(), value)
    });
    Json::Object(fields.collect())
}

fn whole(field: &FieldDescriptor, value: &Value) -> Json {
    match value {
        Value::List(values) => values.iter().map(|value| single(&field.kind(), value)).collect(),
        Value::Map(values) => {
            let kind = match field.kind() {
                Kind::Message(entry) => entry.map_entry_value_field().kind(),
                other => other,
            };
            let mut entries: Vec<_> =
                values.iter().map(|(key, value)| (key_of(key), single(&kind, value))).collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Json::Object(entries.into_iter().collect())
        }
        value => single(&field.kind(), value),
    }
}

fn key_of(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(it) => it.to_string(),
        MapKey::I32(it) => it.to_string(),
        MapKey::I64(it) => it.to_string(),
        MapKey::U32(it) => it.to_string(),
        MapKey::U64(it) => it.to_string(),
    }
}

fn single(kind: &Kind, value: &Value) -> Json {
    match (kind, value) {
        (Kind::Enum(descriptor), Value::EnumNumber(number)) => word(descriptor, *number),
        (_, Value::Message(message)) => object(message),
        (_, Value::Bool(it)) => (*it).into(),
        (_, Value::I32(it)) => (*it).into(),
        (_, Value::I64(it)) => (*it).into(),
        (_, Value::U32(it)) => (*it).into(),
        (_, Value::U64(it)) => (*it).into(),
        (_, Value::F32(it)) => (*it).into(),
        (_, Value::F64(it)) => (*it).into(),
        (_, Value::String(text)) => text.clone().into(),
        _ => Json::Null,
    }
}

/// Returns the common prefix of an enum's names: number 0 is `PREFIX_UNSPECIFIED`.
fn prefix(descriptor: &EnumDescriptor) -> String {
    let first = descriptor.get_value(0).map_or_else(String::new, |value| value.name().to_owned());
    first.strip_suffix("UNSPECIFIED").unwrap_or_default().to_owned()
}

fn word(descriptor: &EnumDescriptor, number: i32) -> Json {
    match descriptor.get_value(number) {
        None => number.into(),
        Some(_) if number == 0 => Json::Null,
        Some(value) => value.name().strip_prefix(&prefix(descriptor)).unwrap_or_else(|| value.name()).into(),
    }
}

/// Parses a JSON object into a message. An unknown key is an error that names the key.
pub(crate) fn parse<M: Message + Name + Default>(mut json: Json) -> Result<M, String> {
    let descriptor = descriptor::<M>().ok_or("unknown message type")?;
    whole_names(&descriptor, &mut json);
    let dynamic = DynamicMessage::deserialize(descriptor, json).map_err(|error| error.to_string())?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

/// Expands enum words to the names of the protobuf JSON mapping: `drain` becomes `ON_HALT_DRAIN`.
fn whole_names(descriptor: &MessageDescriptor, json: &mut Json) {
    let Json::Object(fields) = json else { return };
    for field in descriptor.fields() {
        match (field.kind(), fields.get_mut(field.name())) {
            (Kind::Enum(it), Some(Json::String(word))) => {
                *word = format!("{}{}", prefix(&it), word.to_uppercase())
            }
            (Kind::Message(it), Some(Json::Array(values))) => {
                values.iter_mut().for_each(|value| whole_names(&it, value))
            }
            (Kind::Message(it), Some(value)) if !field.is_map() => whole_names(&it, value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::Timestamp;
    use proto::admin::{Desktop, OnHalt, Presence, Record, Rollout, Task, TaskStatus, Wave, WaveSpec};
    use serde_json::json;

    use super::*;

    #[test]
    fn enums_are_words_times_are_text_and_what_is_not_given_is_null() {
        let task = Task {
            task_id: "1".into(),
            status: TaskStatus::Halted.into(),
            seed: u64::MAX,
            waves: vec![Wave { wave: 1, ..Wave::default() }],
            create_time: Some(Timestamp { seconds: 1_764_000_000, nanos: 0 }),
            execution_timeout: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            ..Task::default()
        };
        let json = of(&task);
        assert_eq!(json["status"], "HALTED");
        assert_eq!(json["seed"], json!(u64::MAX));
        assert_eq!(json["create_time"], "2025-11-24T16:00:00Z");
        assert_eq!(json["execution_timeout"], "600s");
        assert_eq!((&json["end_time"], &json["on_halt"]), (&Json::Null, &Json::Null));
        assert_eq!((&json["waves"][0]["wave"], &json["waves"][0]["status"]), (&json!(1), &Json::Null));
        assert_eq!(json.as_object().unwrap().len(), 46, "every field is present");
    }

    #[test]
    fn maps_are_objects_and_absent_numbers_are_null() {
        let desktop = Desktop {
            presence: Presence::Active.into(),
            tags: BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]),
            ..Desktop::default()
        };
        assert_eq!(of(&desktop)["tags"], json!({"a": "1", "b": "2"}));
        let record = |exit_code| of(&Record { exit_code, ..Record::default() })["exit_code"].clone();
        assert_eq!((record(Some(0)), record(None)), (json!(0), Json::Null));
    }

    #[test]
    fn an_object_is_read_by_the_keys_and_words_of_the_rest_api() {
        let json = json!({"waves": [{"count": 5}, {"rest": true}], "on_halt": "kill", "exit_codes": {"3": "ignore"},
                          "expires_at": "2026-12-01T00:00:00Z"});
        let rollout: Rollout = parse(json).unwrap();
        assert_eq!(
            rollout.waves,
            [
                WaveSpec { count: Some(5), ..WaveSpec::default() },
                WaveSpec { rest: Some(true), ..WaveSpec::default() }
            ]
        );
        assert_eq!(rollout.on_halt(), OnHalt::Kill);
        assert_eq!(rollout.expires_at.unwrap().seconds, 1_796_083_200);
        let unknown = parse::<Rollout>(json!({"wavez": []})).unwrap_err();
        assert!(unknown.contains("wavez"), "{unknown}");
    }
}
