use std::fs;

use mtls::{Files, Shown, Signer};
use proto::{
    order::{ParameterValue, RebootTerms},
    order_signing::{message, script_sha256, tree},
    scheduler::{Batch, PullResponse, Target},
};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::connection::test_certificates::{Certificates, certificates};

/// A CA, a desktop that trusts it, and a signer.
pub(in crate::connection) struct Rig {
    pub(in crate::connection) dir: TempDir,
    guard: OrderVerifier,
    pub(in crate::connection) signer: Signer,
    files: Files,
}

impl Rig {
    /// The desktop's certificates, loaded again as after a restart.
    pub(in crate::connection) fn tls(&self) -> Tls {
        Tls::load(self.files.clone()).unwrap()
    }
}

pub(in crate::connection) fn rig() -> Rig {
    let Certificates { dir, tls, signer } = certificates();
    let at = |name: &str| dir.path().join(name);
    let files = Files { ca: at("ca.crt"), cert: at("tls.crt"), key: at("tls.key") };
    let desktop = Desktop { project_id: "p".into(), desktop_id: "d".into(), ..Desktop::default() };
    Rig { guard: OrderVerifier::new(tls, &desktop, dir.path()), dir, signer, files }
}

fn script() -> Script {
    Script { script_id: "s".into(), script_type: "SHELL".into(), content: "true".into() }
}

fn parameters(ring: &str) -> ScriptParameters {
    ScriptParameters { values: vec![ParameterValue { name: "ring".into(), value: ring.into() }] }
}

fn reboot(post_finish: &str) -> RebootTerms {
    let (post_finish, if_user_active) = (post_finish.to_owned(), "wait".to_owned());
    RebootTerms { exit_codes: vec![3], post_finish, if_user_active, timeout_ms: 900_000 }
}

fn terms() -> BatchTerms {
    let sha256 = script_sha256("SHELL", "true").unwrap().to_vec();
    BatchTerms {
        task_id: "t".into(),
        attempt: 1,
        project_id: "p".into(),
        wave: 2,
        scripts: vec![ScriptTerms {
            script_id: "s".into(),
            script_type: "SHELL".into(),
            sha256,
            parameters: parameters("pilot").values,
        }],
        execution_timeout_ms: 1_000,
        deliver_by_unix_ms: OffsetDateTime::now_utc().unix_timestamp() * 1_000,
        success_exit_codes: vec![3],
        query_only: false,
        max_running: Some(2),
        run_as_user: "ada".into(),
        kill_left_processes: true,
        retried_task_ids: vec!["t0".into()],
        deny_list_version: 0,
        reboot: Some(reboot("reboot")),
    }
}

impl Rig {
    /// The second order of three, for the given desktop.
    fn order(&self, terms: &BatchTerms, desktop_id: &str) -> Order {
        let target = |ordinal: u32, desktop_id: &str| {
            let terms = TargetTerms { ordinal, desktop_id: desktop_id.into(), first_script: 0 };
            Target { signed_terms: terms.encode_to_vec(), ..Target::default() }
        };
        let targets = vec![target(0, "before"), target(1, desktop_id), target(2, "after")];
        let batch = Batch { signed_terms: terms.encode_to_vec(), targets, ..Batch::default() };
        let answer = PullResponse { batches: vec![batch], ..PullResponse::default() };
        let tree = tree(&answer).unwrap();
        let Shown { certificate, signature } = self.signer.sign(&message(&tree.root(), tree.size())).unwrap();
        self.guard.shown(certificate.clone());
        let batch = &answer.batches[0];
        let signed = Signed {
            batch: batch.signed_terms.clone(),
            target: batch.targets[1].signed_terms.clone(),
            index: 1,
            size: 3,
            path: tree.path(1).unwrap().iter().map(|hash| hash.to_vec()).collect(),
            signature,
            certificate_sha256: sha256(&certificate).to_vec(),
        };
        // All unsigned fields contradict the signed ones.
        Order {
            key: Some(ExecutionKey { task_id: "other".into(), ordinal: 9, attempt: 9 }),
            wave: 9,
            scripts: vec![Script { script_id: "other".into(), script_type: "BAT".into(), ..script() }],
            execution_timeout_ms: 9,
            deliver_by_unix_ms: 9,
            query_only: true,
            first_script: 9,
            success_exit_codes: vec![9],
            stop_script: Some(4),
            max_running: None,
            run_as_user: "root".into(),
            kill_left_processes: false,
            retried_task_ids: Vec::new(),
            reboot: Some(reboot("stop")),
            trace_context: "trace".into(),
            script_parameters: vec![parameters("forged")],
            signed: Some(signed),
        }
    }

    #[track_caller]
    fn refused(&self, order: &Order, why: &str) {
        let reason = self.guard.check(order).unwrap_err();
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn only_stop_and_trace_may_differ_from_the_signed_order() {
    let rig = rig();
    let terms = terms();
    let taken = rig.guard.check(&rig.order(&terms, "d")).unwrap();
    let wanted = Order {
        key: Some(ExecutionKey { task_id: "t".into(), ordinal: 1, attempt: 1 }),
        wave: 2,
        scripts: vec![script()],
        execution_timeout_ms: 1_000,
        deliver_by_unix_ms: terms.deliver_by_unix_ms,
        query_only: false,
        first_script: 0,
        success_exit_codes: vec![3],
        stop_script: Some(4),
        max_running: Some(2),
        run_as_user: "ada".into(),
        kill_left_processes: true,
        retried_task_ids: vec!["t0".into()],
        reboot: Some(reboot("reboot")),
        trace_context: "trace".into(),
        script_parameters: vec![parameters("pilot")],
        signed: None,
    };
    assert_eq!(taken, wanted);
}

#[test]
fn what_is_not_signed_for_this_desktop_is_refused() {
    let rig = rig();
    let good = rig.order(&terms(), "d");
    rig.guard.check(&good).unwrap();
    rig.refused(&Order { signed: None, ..good.clone() }, "is not signed");
    rig.refused(&rig.order(&terms(), "another"), "for another desktop");
    rig.refused(&rig.order(&BatchTerms { project_id: "another".into(), ..terms() }, "d"), "another desktop");
    let mut changed = good.clone();
    changed.scripts[0].content = "false".into();
    rig.refused(&changed, "script 0 differs from the signed one");
    rig.refused(&Order { scripts: Vec::new(), ..good.clone() }, "the order has 0 scripts, but 1 are signed");
    let with = |change: &dyn Fn(&mut Signed)| {
        let mut order = good.clone();
        change(order.signed.as_mut().unwrap());
        order
    };
    let later = BatchTerms { deliver_by_unix_ms: terms().deliver_by_unix_ms + 60_000, ..terms() };
    rig.refused(&with(&|signed| signed.batch = later.encode_to_vec()), "the signature does not match");
    let no_retry = BatchTerms { retried_task_ids: Vec::new(), ..terms() };
    rig.refused(&with(&|signed| signed.batch = no_retry.encode_to_vec()), "the signature does not match");
    rig.refused(&with(&|signed| signed.target[1] ^= 2), "the signature does not match");
    rig.refused(&with(&|signed| signed.signature[0] ^= 1), "the signature does not match");
    rig.refused(&with(&|signed| signed.size = 4), "the signature does not match");
    rig.refused(&with(&|signed| signed.index = 3), "proof is malformed");
    rig.refused(&with(&|signed| signed.certificate_sha256[0] ^= 1), "was not received");
}

#[test]
fn deadline_a_day_ago_is_past_despite_the_workers_clock() {
    let rig = rig();
    let days_ago = |days: i64| BatchTerms {
        deliver_by_unix_ms: (OffsetDateTime::now_utc() - time::Duration::days(days)).unix_timestamp() * 1_000,
        ..terms()
    };
    rig.refused(&rig.order(&days_ago(2), "d"), "more than a day ago");
    rig.refused(&rig.order(&BatchTerms { deliver_by_unix_ms: 0, ..terms() }, "d"), "more than a day ago");
}

#[test]
fn another_certificate_of_the_ca_signs_nothing() {
    let rig = rig();
    let mut order = rig.order(&terms(), "d");
    let pem = fs::read(rig.dir.path().join("tls.crt")).unwrap();
    let certificate = mtls::read_certificates(&pem).unwrap().remove(0).to_vec();
    order.signed.as_mut().unwrap().certificate_sha256 = sha256(&certificate).to_vec();
    rig.guard.shown(certificate);
    rig.refused(&order, "graywave://desktop/p/d does not have the role signer");
}

#[test]
fn the_certificates_shown_last_are_remembered() {
    let rig = rig();
    let order = rig.order(&terms(), "d");
    let other = |number: u8| vec![number];
    (1..16).for_each(|number| rig.guard.shown(other(number)));
    rig.guard.check(&order).unwrap();
    rig.guard.shown(other(16));
    rig.refused(&order, "was not received");
}

/// A changed order is never accepted with another content.
// The harness of mutated inputs runs on the machines of developers.
#[cfg(unix)]
#[test]
fn fuzz_signed_orders() {
    let rig = rig();
    let order = rig.order(&terms(), "d");
    let accepted = rig.guard.check(&order).unwrap();
    testkit::fuzz("signed_orders", &[order.encode_to_vec()], |input| {
        let Ok(changed) = Order::decode(input) else { return };
        let Ok(found) = rig.guard.check(&changed) else { return };
        // A worker may only add a stop and a trace.
        let Order { stop_script, trace_context, .. } = found.clone();
        assert_eq!(found, Order { stop_script, trace_context, ..accepted.clone() });
    });
}

#[test]
fn order_ahead_of_the_agents_deny_list_is_refused() {
    let rig = rig();
    let version = u64::try_from(OffsetDateTime::now_utc().unix_timestamp() * 1_000).unwrap();
    let ahead = BatchTerms { deny_list_version: version, ..terms() };
    rig.refused(&rig.order(&ahead, "d"), "withholds the deny-list");
    let list = proto::deny_list::encode(version, &[]);
    let Shown { certificate, signature } = rig.signer.sign(&proto::deny_list::message(&list)).unwrap();
    let signature = Some(proto::order::Signature { certificate, signature });
    let list = proto::order::SignedDenyList { list, signature };
    rig.guard.deny_lists().take(&list).unwrap();
    rig.guard.check(&rig.order(&ahead, "d")).unwrap();
    rig.guard.check(&rig.order(&terms(), "d")).unwrap();
}

#[test]
fn order_of_a_denied_signer_is_refused() {
    let rig = rig();
    let order = rig.order(&terms(), "d");
    rig.guard.check(&order).unwrap();
    let certificate = rig.signer.sign(b"x").unwrap().certificate;
    let serial = mtls::read_facts(&certificate.into()).unwrap().serial;
    rig.guard.tls.deny_list().replace([serial.as_str()]);
    rig.refused(&order, "is denied");
}
