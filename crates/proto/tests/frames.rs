//! Replays recorded frames: messages between agents, workers and schedulers of earlier versions, as
//! they were on the wire. Today's code must read every field of them.
//!
//! `frames/VERSION.txt` has a line for each message: its name and its bytes in hex. A file never
//! changes after its release; `cargo xtask compat` checks that lines are only added.

#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

/// Environment variable that makes the test record the frames of this version.
const RECORD: &str = "GRAYWAVE_RECORD_FRAMES";

/// Reads a message with its generated type, and writes it again.
type Replay = fn(&[u8]) -> Result<Vec<u8>, prost::DecodeError>;

/// Messages of both protocols, and those that are signed: each crosses versions.
const MESSAGES: &[(&str, Replay)] = &[
    ("graywave.agent.v1.AttachRequest", replay::<proto::agent::AttachRequest>),
    ("graywave.agent.v1.AttachResponse", replay::<proto::agent::AttachResponse>),
    ("graywave.agent.v1.EnrolRequest", replay::<proto::agent::EnrolRequest>),
    ("graywave.agent.v1.EnrolResponse", replay::<proto::agent::EnrolResponse>),
    ("graywave.agent.v1.RenewRequest", replay::<proto::agent::RenewRequest>),
    ("graywave.agent.v1.RenewResponse", replay::<proto::agent::RenewResponse>),
    ("graywave.order.v1.BatchTerms", replay::<proto::order::BatchTerms>),
    ("graywave.order.v1.DenyList", replay::<proto::order::DenyList>),
    ("graywave.order.v1.TargetTerms", replay::<proto::order::TargetTerms>),
    ("graywave.scheduler.v1.DeregisterRequest", replay::<proto::scheduler::DeregisterRequest>),
    ("graywave.scheduler.v1.DeregisterResponse", replay::<proto::scheduler::DeregisterResponse>),
    ("graywave.scheduler.v1.EnrolRequest", replay::<proto::scheduler::EnrolRequest>),
    ("graywave.scheduler.v1.EnrolResponse", replay::<proto::scheduler::EnrolResponse>),
    ("graywave.scheduler.v1.HeartbeatRequest", replay::<proto::scheduler::HeartbeatRequest>),
    ("graywave.scheduler.v1.HeartbeatResponse", replay::<proto::scheduler::HeartbeatResponse>),
    ("graywave.scheduler.v1.PullRequest", replay::<proto::scheduler::PullRequest>),
    ("graywave.scheduler.v1.PullResponse", replay::<proto::scheduler::PullResponse>),
    ("graywave.scheduler.v1.RenewCertificateRequest", replay::<proto::scheduler::RenewCertificateRequest>),
    ("graywave.scheduler.v1.RenewCertificateResponse", replay::<proto::scheduler::RenewCertificateResponse>),
    ("graywave.scheduler.v1.RenewRequest", replay::<proto::scheduler::RenewRequest>),
    ("graywave.scheduler.v1.RenewResponse", replay::<proto::scheduler::RenewResponse>),
    ("graywave.scheduler.v1.ReportOutputRequest", replay::<proto::scheduler::ReportOutputRequest>),
    ("graywave.scheduler.v1.ReportOutputResponse", replay::<proto::scheduler::ReportOutputResponse>),
    ("graywave.scheduler.v1.ReportRequest", replay::<proto::scheduler::ReportRequest>),
    ("graywave.scheduler.v1.ReportResponse", replay::<proto::scheduler::ReportResponse>),
    ("graywave.scheduler.v1.UpdatePresenceRequest", replay::<proto::scheduler::UpdatePresenceRequest>),
    ("graywave.scheduler.v1.UpdatePresenceResponse", replay::<proto::scheduler::UpdatePresenceResponse>),
    ("graywave.scheduler.v1.WatchStopsRequest", replay::<proto::scheduler::WatchStopsRequest>),
    ("graywave.scheduler.v1.WatchStopsResponse", replay::<proto::scheduler::WatchStopsResponse>),
    ("graywave.types.v1.AttachStatement", replay::<proto::types::AttachStatement>),
];

fn replay<M: Message + Default>(frame: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    M::decode(frame).map(|message| message.encode_to_vec())
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::DESCRIPTORS).unwrap()
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/frames")
}

/// Makes the frames of this version: each message with every field set, and one for each choice of
/// a oneof.
fn frames() -> BTreeMap<String, Vec<u8>> {
    let pool = pool();
    let mut frames = BTreeMap::new();
    for (name, _) in MESSAGES {
        let message = pool.get_message_by_name(name).unwrap();
        let choices: Vec<Option<FieldDescriptor>> = match message.oneofs().find(|it| !it.is_synthetic()) {
            Some(oneof) => oneof.fields().map(Some).collect(),
            None => vec![None],
        };
        for choice in choices {
            let label = choice.as_ref().map_or_else(String::new, |field| format!("/{}", field.name()));
            frames.insert(format!("{name}{label}"), sample(&message, choice.as_ref()).encode_to_vec());
        }
    }
    frames
}

/// Makes a message with every field set. `choice` is the field of its oneof; `None` for the first.
fn sample(message: &MessageDescriptor, choice: Option<&FieldDescriptor>) -> DynamicMessage {
    let mut made = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let is_chosen = oneof.is_none_or(|oneof| match choice {
            Some(choice) => choice == &field,
            None => oneof.fields().next().as_ref() == Some(&field),
        });
        if is_chosen {
            made.set_field(&field, value(&field));
        }
    }
    made
}

/// Returns the value of a field in every frame. It names the field, so that a field with another
/// name or number is noticed.
fn value(field: &FieldDescriptor) -> Value {
    if field.is_map() {
        let entry = (MapKey::String(field.name().to_owned()), Value::String(field.name().to_owned()));
        return Value::Map([entry].into());
    }
    let one = match field.kind() {
        Kind::String => Value::String(field.name().to_owned()),
        Kind::Bytes => Value::Bytes(field.name().as_bytes().to_vec().into()),
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(f64::from(field.number())),
        Kind::Float => Value::F32(3.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(i32::try_from(field.number()).unwrap()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(i64::from(field.number())),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(field.number()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::from(field.number())),
        Kind::Enum(values) => Value::EnumNumber(values.values().map(|it| it.number()).max().unwrap_or(0)),
        Kind::Message(message) => Value::Message(sample(&message, None)),
    };
    if field.is_list() { Value::List(vec![one]) } else { one }
}

/// Finds the fields of a frame that today's code does not know, or reads as another field.
fn misread(frame: &DynamicMessage, place: &str, found: &mut Vec<String>) {
    let unknown =
        frame.unknown_fields().map(|field| format!("{place}: no field has number {}", field.number()));
    found.extend(unknown);
    for (field, read) in frame.fields() {
        let place = format!("{place}.{}", field.name());
        match (read, field.kind()) {
            (Value::Message(inner), _) => misread(inner, &place, found),
            (Value::List(inner), Kind::Message(_)) => {
                inner.iter().filter_map(Value::as_message).for_each(|inner| misread(inner, &place, found));
            }
            (Value::EnumNumber(_), _) => {}
            (read, _) if *read != value(&field) => found.push(format!("{place} reads {read:?}")),
            _ => {}
        }
    }
}

/// Replays one frame; returns what is wrong.
fn check(name: &str, frame: &[u8]) -> Vec<String> {
    let message = name.split('/').next().unwrap_or_default();
    let known = MESSAGES.iter().find(|(known, _)| *known == message);
    let (Some((_, replay)), Some(descriptor)) = (known, pool().get_message_by_name(message)) else {
        return vec![format!("{name}: the message was removed")];
    };
    let read = DynamicMessage::decode(descriptor, frame);
    let written = replay(frame);
    let (Ok(read), Ok(written)) = (read, written) else { return vec![format!("{name}: unreadable")] };
    let mut found = Vec::new();
    misread(&read, name, &mut found);
    if found.is_empty() && written != frame {
        found.push(format!("{name}: the generated type loses a field"));
    }
    found
}

fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    text.lines().map(|line| {
        let (name, bytes) = line.split_once(' ').unwrap();
        (name, hex::decode(bytes).unwrap())
    })
}

#[test]
fn frames_of_every_version_are_read_completely() {
    let path = directory().join(format!("{}.txt", env!("CARGO_PKG_VERSION")));
    if std::env::var_os(RECORD).is_some() {
        let text: String =
            frames().iter().map(|(name, frame)| format!("{name} {}\n", hex::encode(frame))).collect();
        let mut file = fs::File::create_new(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }
    assert!(
        path.exists(),
        "no frames of this version are recorded: run this test with {RECORD}=1 and commit {}",
        path.display()
    );
    let mut found = Vec::new();
    for file in fs::read_dir(directory()).unwrap() {
        let path = file.unwrap().path();
        let version = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let wrong = lines(&text).flat_map(|(name, frame)| check(name, &frame));
        found.extend(wrong.map(|wrong| format!("{version}: {wrong}")));
    }
    assert!(found.is_empty(), "today's code cannot read these frames:\n  {}", found.join("\n  "));
}

#[test]
fn every_message_of_both_protocols_has_a_frame() {
    let mut wanted = BTreeSet::new();
    for service in pool().services().filter(|service| {
        ["graywave.agent.v1.", "graywave.scheduler.v1."].iter().any(|it| service.full_name().starts_with(it))
    }) {
        for method in service.methods() {
            wanted.extend([method.input(), method.output()].map(|it| it.full_name().to_owned()));
        }
    }
    let known: BTreeSet<String> = MESSAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = wanted.difference(&known).collect();
    assert!(missing.is_empty(), "add these to MESSAGES: {missing:?}");
    assert!(frames().contains_key("graywave.agent.v1.AttachRequest/hello"));
}

#[test]
fn changed_fields_of_a_frame_are_found() {
    let name = "graywave.scheduler.v1.PullRequest";
    let good = frames().remove(name).unwrap();
    assert_eq!(check(name, &good), [""; 0]);
    // Field 99 as a number, which no version of the message has.
    let unknown = [good.clone(), vec![0x98, 0x06, 0x01]].concat();
    assert_eq!(check(name, &unknown), [format!("{name}: no field has number 99")]);
    // The worker's id under the number of a field that was renamed or renumbered.
    let mut renamed = good;
    let place = renamed.windows(9).position(|it| it == b"worker_id").unwrap();
    renamed[place] = b'W';
    assert!(check(name, &renamed)[0].contains("worker_id reads"), "{:?}", check(name, &renamed));
    assert_eq!(check("graywave.agent.v1.Gone", &[]), ["graywave.agent.v1.Gone: the message was removed"]);
    assert_eq!(check(name, &[0xff]), [format!("{name}: unreadable")]);
}
