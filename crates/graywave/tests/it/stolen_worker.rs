//! A stolen worker that claims desktops and reports results that it does not have.

use std::fs;

use prost::Message as _;
use proto::{
    agent::{OrderResult, attach_response::Message},
    order::Signer,
    scheduler::{TargetResult, UpdatePresenceResponse},
    session_signing::{attach_message, key_id, session_message},
    types::{AttachStatement, Authenticator, Desktop, Session, SignedAttach},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, PROJECT, desktop},
    harness::wait_for,
    pki::loaded,
    thief::{Thief, agent_of, orders, stolen},
};

/// Worker that schedulers believe to hold this desktop; `None` while it is offline.
fn holder(cluster: &Cluster, number: usize) -> Option<String> {
    let list = cluster.api.native().get("/desktops");
    let row =
        list["desktops"].as_array()?.iter().find(|row| row["desktop_id"] == desktop(number).as_str())?;
    row["worker_id"].as_str().map(str::to_owned)
}

/// Reason of the only refusal of a claim.
fn refusal(answer: &UpdatePresenceResponse) -> &str {
    let [refused] = answer.refused.as_slice() else { panic!("not refused: {answer:?}") };
    assert!(answer.sessions.is_empty(), "{answer:?}");
    &refused.reason
}

/// Changes the statement of an attach below its signature.
fn restated(genuine: &Desktop, change: impl FnOnce(&mut AttachStatement)) -> Desktop {
    let attach = genuine.attach.clone().unwrap();
    let mut statement = AttachStatement::decode(attach.statement.as_slice()).unwrap();
    change(&mut statement);
    Desktop {
        attach: Some(SignedAttach { statement: statement.encode_to_vec(), ..attach }),
        ..genuine.clone()
    }
}

/// Signs a changed statement with the key of another certificate.
fn signed_by(files: mtls::Files, claimed: &Desktop) -> Desktop {
    let attach = claimed.attach.clone().unwrap();
    let proof = loaded(files).prove(&attach_message(&attach)).unwrap();
    let (scheme, signature, chain) = (proof.scheme.into(), proof.signature, proof.chain);
    Desktop { attach: Some(SignedAttach { scheme, signature, chain, ..attach }), ..claimed.clone() }
}

#[test]
fn stolen_worker_claims_only_desktops_attached_to_it() {
    let cluster = Cluster::start_with_tls();
    let mut thief = Thief::new(&cluster, "thief");
    let _own = agent_of(&cluster, &thief, 0);
    let _other = cluster.agent(1);
    let genuine = thief.attached(1).remove(0).desktop;
    cluster.api.connected(2);
    let honest = holder(&cluster, 1).unwrap();
    let pki = cluster.pki.as_ref().unwrap();

    let as_other = Desktop { desktop_id: desktop(1), ..genuine.clone() };
    let restated_as_other = restated(&as_other, |statement| {
        statement.desktop.as_mut().unwrap().desktop_id = desktop(1);
    });
    let by_worker = signed_by(pki.role("worker", "thief"), &restated_as_other);
    let by_another_desktop = signed_by(pki.desktop(PROJECT, &desktop(7)), &restated_as_other);
    let tagged = restated(&genuine, |statement| {
        statement.desktop.as_mut().unwrap().tags.insert("stage".into(), "prod".into());
    });
    for (claim, why) in [
        (Desktop { attach: None, ..as_other.clone() }, "not signed"),
        (Desktop { attach: None, ..genuine.clone() }, "not signed"),
        (as_other, "another desktop signed the attach"),
        (restated_as_other, "signature does not match"),
        (by_worker, "is not a desktop"),
        (by_another_desktop, "another desktop signed the attach"),
        (tagged, "signature does not match"),
        (restated(&genuine, |statement| statement.number += 1), "signature does not match"),
        (restated(&genuine, |statement| statement.public_key = vec![9; 32]), "signature does not match"),
    ] {
        let answer = thief.claim(vec![claim]);
        assert!(refusal(&answer).contains(why), "{why}: {answer:?}");
    }
    // Facts beside the signed ones have no effect.
    let answer = thief.claim(vec![Desktop { computer_name: "changed".into(), ..genuine.clone() }]);
    assert_eq!((answer.refused.len(), answer.sessions.len()), (0, 1), "{answer:?}");
    let list = cluster.api.native().get("/desktops").to_string();
    assert!(!list.contains("changed") && !list.contains("prod"), "{list}");
    // Nor can another stolen worker use the statement.
    let mut second = Thief::new(&cluster, "second");
    assert!(refusal(&second.claim(vec![genuine.clone()])).contains("attached to another worker"));
    let to_second = restated(&genuine, |statement| statement.worker = "graywave://role/worker/second".into());
    assert!(refusal(&second.claim(vec![to_second])).contains("signature does not match"));
    assert_eq!(holder(&cluster, 1), Some(honest));
    let task = cluster.api.run("true", &[desktop(1)], json!({}));
    assert_eq!(cluster.api.ended(&task)["success_num"], 1);
}

#[test]
fn old_attach_never_counts_again() {
    let cluster = Cluster::start_with_tls();
    let mut thief = Thief::new(&cluster, "thief");
    let mut agent = agent_of(&cluster, &thief, 0);
    let old = thief.attached(1).remove(0).desktop;
    cluster.api.connected(1);
    agent.kill();
    // Without heartbeats, the schedulers give the stolen worker up, and the desktop moves.
    let mut moved = cluster.agent(0);
    wait_for("the move", || holder(&cluster, 0).filter(|holder| *holder != thief.worker_id));
    assert!(refusal(&thief.claim(vec![old.clone()])).contains("another machine is connected"));
    assert_ne!(holder(&cluster, 0), Some(thief.worker_id.clone()));
    assert!(moved.stop().success());
    wait_for("the disconnect", || holder(&cluster, 0).is_none().then_some(()));
    assert!(refusal(&thief.claim(vec![old])).contains("outdated"));
    assert_eq!(holder(&cluster, 0), None);
}

fn report_of(result: &OrderResult, desktop: &Desktop) -> TargetResult {
    let key = result.key.clone().unwrap();
    TargetResult {
        task_id: key.task_id,
        ordinal: key.ordinal,
        attempt: key.attempt,
        scripts: result.scripts.clone(),
        project_id: desktop.project_id.clone(),
        desktop_id: desktop.desktop_id.clone(),
        agent_id: desktop.agent_id.clone(),
        authenticator: result.authenticator.clone(),
        ..TargetResult::default()
    }
}

fn changed(genuine: &TargetResult, change: impl FnOnce(&mut TargetResult)) -> TargetResult {
    let mut result = genuine.clone();
    change(&mut result);
    result
}

#[test]
fn stolen_worker_reports_only_what_the_agent_sent() {
    let cluster = Cluster::start_with_tls();
    let (mut thief, _agents, mut attached) = stolen(&cluster);
    let task = cluster.api.run("echo output", &[desktop(0), desktop(1)], json!({}));
    let answer = thief.pull();
    let (orders, certificate) = orders(&answer);
    let first = attached.remove(0);
    let mut session = first;
    let own = session.desktop.clone();
    let targets = &answer.batches[0].targets;
    let place = targets.iter().position(|target| target.desktop_id == own.desktop_id).unwrap();
    let neighbour = targets[1 - place].ordinal;
    let result = thief.runtime.block_on(async {
        session.say(Message::Signer(Signer { certificate })).await;
        session.order(orders[place].clone()).await
    });
    let genuine = report_of(&result, &own);
    assert_eq!(genuine.scripts[0].outcome, "SUCCESS");

    let forged = Authenticator { mac: vec![7; 32], ..genuine.authenticator.clone().unwrap() };
    let another_key = Authenticator { key_id: vec![7; 16], ..forged.clone() };
    let lies = [
        (changed(&genuine, |it| it.authenticator = None), "no authenticator"),
        (changed(&genuine, |it| it.authenticator = Some(forged)), "does not match"),
        (changed(&genuine, |it| it.authenticator = Some(another_key)), "session key is not known"),
        (changed(&genuine, |it| it.scripts[0].outcome = "FAILED".into()), "does not match"),
        (changed(&genuine, |it| it.scripts[0].exit_code = Some(1)), "does not match"),
        (changed(&genuine, |it| it.scripts[0].output = "forged".into()), "does not match"),
        (changed(&genuine, |it| it.scripts[0].reason = "forged".into()), "does not match"),
        (changed(&genuine, |it| it.scripts[0].ended_at_unix_ms += 1), "does not match"),
        (changed(&genuine, |it| it.attempt += 1), "does not match"),
        (changed(&genuine, |it| it.ordinal = neighbour), "does not match"),
        (changed(&genuine, |it| it.agent_id = "another".into()), "does not match"),
        (
            changed(&genuine, |it| {
                it.ordinal = neighbour;
                it.desktop_id = desktop(1);
            }),
            "session key is not known",
        ),
        (changed(&genuine, |it| it.desktop_id = desktop(9)), "no session"),
    ];
    for (lie, why) in lies {
        let answer = thief.report(vec![lie]);
        let [refused] = answer.refused.as_slice() else { panic!("{why}: {answer:?}") };
        assert!(refused.reason.contains(why) && refused.unauthenticated, "{why}: {answer:?}");
        assert_eq!(answer.stored, 0);
    }
    assert_eq!(cluster.api.task(&task)["success_num"], 0);
    // The agent's own words count from any worker, and a lie beside them does not matter.
    let lie = changed(&genuine, |it| it.scripts[0].outcome = "FAILED".into());
    let mut second = Thief::new(&cluster, "second");
    let answer = second.report(vec![lie, genuine.clone()]);
    assert_eq!((answer.stored, answer.refused.len()), (1, 1), "{answer:?}");
    let answer = thief.report(vec![genuine]);
    assert_eq!((answer.stored, answer.refused.len()), (0, 0), "a repetition: {answer:?}");
    let records = cluster.api.records(&task);
    let stored: Vec<&Value> = records.iter().filter(|it| it["status"] == "SUCCESS").collect();
    assert_eq!(stored.len(), 1, "{records:?}");
}

#[test]
fn agent_takes_its_session_from_schedulers_only() {
    let cluster = Cluster::start_with_tls();
    let mut thief = Thief::new(&cluster, "thief");
    let _agent = agent_of(&cluster, &thief, 0);
    let mut session = thief.wait_for_agents(1).remove(0);
    let answer = thief.claim(vec![session.desktop.clone()]);
    let genuine = answer.sessions[0].session.clone().unwrap();
    let swapped = Session { public_key: vec![9; 32], ..genuine.clone() };
    let own = cluster.pki.as_ref().unwrap().role("worker", "thief");
    let proof = loaded(own).prove(&session_message(&swapped)).unwrap();
    let by_worker =
        Session { certificate: proof.chain[0].clone(), signature: proof.signature, ..swapped.clone() };
    cluster.api.run("true", &[desktop(0)], json!({}));
    let (orders, certificate) = orders(&thief.pull());
    let result = thief.runtime.block_on(async {
        session.say(Message::Session(swapped)).await;
        session.say(Message::Session(by_worker)).await;
        session.say(Message::Signer(Signer { certificate })).await;
        session.say(Message::Order(orders[0].clone())).await;
        session.say(Message::Session(genuine.clone())).await;
        session.result().await
    });
    assert_eq!(result.authenticator.clone().unwrap().key_id, key_id(&genuine));
    let answer = thief.report(vec![report_of(&result, &session.desktop)]);
    assert_eq!((answer.stored, answer.refused.len()), (1, 0), "{answer:?}");
    let log = fs::read_to_string(cluster.log("agents")).unwrap();
    assert_eq!(log.matches("session ignored").count(), 2, "{log}");
}

#[test]
fn result_outlives_the_worker_that_delivered_its_order() {
    let mut cluster = Cluster::start_with_tls();
    let desktops = cluster.add_agents(1);
    let [up, gate, over] = ["up", "gate", "over"].map(|name| cluster.directory.path().join(name));
    let script = format!(
        "echo > {}; until [ -e {} ]; do sleep 0.05; done; echo >> {}",
        up.display(),
        gate.display(),
        over.display()
    );
    let task = cluster.api.run(&script, &desktops, json!({}));
    wait_for("the start", || up.exists().then_some(()));
    let holder = holder(&cluster, 0).unwrap();
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let place =
        cluster.workers.iter().position(|(address, _)| holder.contains(&format!("-{}-", port(address))));
    cluster.workers[place.unwrap()].1.kill();
    fs::write(&gate, "").unwrap();
    let ended = cluster.api.ended(&task);
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(1)));
    assert_eq!(fs::read_to_string(&over).unwrap().lines().count(), 1, "it ran once");
}
