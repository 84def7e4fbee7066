use proto::types::Certificate;
use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::outbox::{self, Outbox};

fn key() -> DesktopKey {
    DesktopKey { project_id: "p".into(), desktop_id: "d".into() }
}

fn of_agent(agent_id: &str) -> Desktop {
    Desktop { agent_id: agent_id.into(), ..Desktop::default() }
}

fn connect(registry: &Registry, agent_id: &str) -> (Option<Connected>, Outbox) {
    let (to_agent, outbox) = outbox::channel(4);
    (registry.connect(key(), of_agent(agent_id), to_agent).ok(), outbox)
}

fn elsewhere() -> Status {
    claim_refused(&RefusedDesktop::default())
}

#[test]
fn update_changes_facts_and_no_identity() {
    let registry = Registry::default();
    let (to_agent, _inbox) = outbox::channel(1);
    let known = Desktop {
        project_id: "p".into(),
        desktop_id: "d".into(),
        agent_id: "a".into(),
        ..Desktop::default()
    };
    let Ok(connected) = registry.connect(key(), known.clone(), to_agent) else { panic!() };
    let update = Desktop {
        desktop_id: "other".into(),
        agent_id: "other".into(),
        time_zone: "Europe/Berlin".into(),
        os_version: "Debian 13".into(),
        containment: "CGROUP".into(),
        ..Desktop::default()
    };
    let updated = registry.update(&key(), connected.session, update.clone()).unwrap();
    let wanted = Desktop {
        time_zone: "Europe/Berlin".into(),
        os_version: "Debian 13".into(),
        containment: "CGROUP".into(),
        ..known
    };
    assert_eq!(updated, wanted);
    let long = Desktop { ip_address: "9".repeat(1 << 20), ..Desktop::default() };
    assert_eq!(registry.update(&key(), connected.session, long), None);
    assert_eq!(registry.all()[0].1.time_zone, "Europe/Berlin", "no part of such an update counts");
    registry.disconnect(&key(), connected.session);
    assert_eq!(registry.update(&key(), connected.session, update), None);
}

#[test]
fn second_agent_is_refused_and_same_agent_reconnects() {
    let registry = Registry::default();
    let (first, mut outbox) = connect(&registry, "one");
    let first = first.unwrap();
    assert!(connect(&registry, "other").0.is_none());
    assert!(matches!(outbox.try_recv(), Ok(Ok(AttachResponse { message: Some(Message::Rival(_)) }))));
    let (second, alive) = connect(&registry, "one");
    assert_eq!(second.unwrap().replaced, Some(first.session));
    assert!(outbox.try_recv().is_err_and(|error| error == TryRecvError::Disconnected));
    // The machine was reinstalled, and the old connection is closed.
    drop(alive);
    assert!(connect(&registry, "other").0.is_some());
}

#[test]
fn copy_of_a_connected_agent_is_refused_by_name() {
    let registry = Registry::default();
    let of_run = |run_id: &str, host: &str| Desktop {
        run_id: run_id.into(),
        os_host_name: host.into(),
        ip_address: "10.0.0.7".into(),
        ..of_agent("one")
    };
    let (to_agent, mut outbox) = outbox::channel(4);
    registry.connect(key(), of_run("r", "first"), to_agent).unwrap();
    let status = registry.check_claim(&key(), &of_run("s", "second")).unwrap_err();
    assert_eq!(status.code(), tonic::Code::AlreadyExists);
    assert!(status.message().contains("first (10.0.0.7)"), "{status}");
    let Ok(Ok(AttachResponse { message: Some(Message::Rival(rival)) })) = outbox.try_recv() else {
        panic!("the connected agent must hear of its rival")
    };
    assert_eq!(rival.os_host_name, "second");
    assert!(registry.check_claim(&key(), &of_run("r", "first")).is_ok());
}

#[test]
fn a_connection_is_known_or_refused_as_it_was_told() {
    let registry = Registry::default();
    let (connected, mut outbox) = connect(&registry, "one");
    let connected = connected.unwrap();
    registry.is_known(&key(), &of_agent("earlier"));
    registry.refuse(&key(), &of_agent("earlier"), elsewhere());
    assert!(!*connected.known.borrow() && registry.len() == 1);
    registry.is_known(&key(), &of_agent("one"));
    assert!(*connected.known.borrow());
    registry.refuse(&key(), &of_agent("one"), elsewhere());
    assert_eq!(outbox.try_recv().unwrap().unwrap_err().code(), tonic::Code::AlreadyExists);
    assert!(registry.len() == 0 && connected.known.has_changed().is_err());
}

#[test]
fn revocation_ends_only_connections_of_its_certificate() {
    let registry = Registry::default();
    let (to_agent, mut outbox) = outbox::channel(4);
    let certificate = Some(Certificate { serial: "b".into(), ..Certificate::default() });
    let desktop = Desktop { certificate, ..of_agent("one") };
    let connected = registry.connect(key(), desktop.clone(), to_agent).unwrap();
    assert!(registry.find_known(&key(), "one").is_none(), "no scheduler has accepted the connection");
    registry.is_known(&key(), &desktop);
    assert!(!registry.end_revoked(&key(), "a") && registry.find_known(&key(), "one").is_some());
    assert!(registry.end_revoked(&key(), "b") && !registry.is_connected(&key()));
    assert_eq!(outbox.try_recv().unwrap().unwrap_err().code(), tonic::Code::PermissionDenied);
    assert!(connected.known.has_changed().is_err());
}

#[test]
fn retirement_ends_a_connection_without_certificate() {
    let registry = Registry::default();
    let (_connected, mut outbox) = connect(&registry, "one");
    assert!(!registry.end_revoked(&key(), "a"));
    assert!(registry.end_revoked(&key(), "") && !registry.is_connected(&key()));
    assert_eq!(outbox.try_recv().unwrap().unwrap_err().code(), tonic::Code::FailedPrecondition);
}
