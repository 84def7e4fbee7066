use super::*;
use crate::connection::order_verifier::tests::{Rig, rig};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn signed(rig: &Rig, version: u64, serials: &[&str]) -> SignedDenyList {
    let serials: Vec<String> = serials.iter().map(|serial| (*serial).to_owned()).collect();
    let list = deny_list::encode(version, &serials);
    let mtls::Shown { certificate, signature } = rig.signer.sign(&deny_list::message(&list)).unwrap();
    SignedDenyList { list, signature: Some(proto::order::Signature { certificate, signature }) }
}

#[test]
fn newest_signed_list_counts_and_survives_a_restart() {
    let rig = rig();
    let tls = rig.tls();
    let lists = DenyLists::open(tls.clone(), rig.dir.path());
    let newer = signed(&rig, now_ms(), &["ab"]);
    let older = signed(&rig, now_ms() - 60_000, &[]);
    lists.take(&newer).unwrap();
    assert!(tls.deny_list().contains("ab"));
    lists.take(&older).unwrap();
    assert!(tls.deny_list().contains("ab"), "an older list changes nothing");
    let again = rig.tls();
    assert_eq!(DenyLists::open(again.clone(), rig.dir.path()).version(), lists.version());
    assert!(again.deny_list().contains("ab"));
}

#[test]
fn forged_list_is_refused() {
    let rig = rig();
    let lists = DenyLists::open(rig.tls(), rig.dir.path());
    let good = signed(&rig, now_ms(), &["ab"]);
    let refused = |list: &SignedDenyList| lists.take(list).unwrap_err();
    assert!(refused(&SignedDenyList { signature: None, ..good.clone() }).contains("not signed"));
    let changed = SignedDenyList { list: deny_list::encode(now_ms(), &[]), ..good.clone() };
    assert!(refused(&changed).contains("does not match"));
    let ahead = signed(&rig, now_ms() + 2 * 24 * 3_600 * 1_000, &["ab"]);
    assert!(refused(&ahead).contains("check the clock"));
    assert_eq!(lists.version(), 0);
    // A denied signer cannot take itself off the list.
    let serial =
        mtls::read_facts(&good.signature.as_ref().unwrap().certificate.clone().into()).unwrap().serial;
    let serial = mtls::canonical_serial(&serial).unwrap();
    lists.take(&signed(&rig, now_ms(), &[&serial])).unwrap();
    assert!(refused(&signed(&rig, now_ms() + 1_000, &[])).contains("is denied"));
}

#[test]
fn unreadable_file_counts_as_no_list() {
    let rig = rig();
    fs::write(rig.dir.path().join(FILE), b"\xff").unwrap();
    assert_eq!(DenyLists::open(rig.tls(), rig.dir.path()).version(), 0);
    fs::write(rig.dir.path().join(FILE), vec![0; MAX_DENY_LIST_BYTES + 1]).unwrap();
    let lists = DenyLists::open(rig.tls(), rig.dir.path());
    lists.take(&signed(&rig, now_ms(), &["ab"])).unwrap();
    assert!(DenyLists::open(rig.tls(), rig.dir.path()).version() > 0);
}
