use super::*;
use crate::audit::SealedEntry;

const NOBODY: SealedBy = SealedBy::Nobody;

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(second, 0).unwrap()
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(number.into())
}

fn hash_of(number: u64) -> Hash {
    [u8::try_from(number).unwrap(); 32]
}

/// Three seals: entries 1 and 2, then 3, then 4.
fn seals() -> Vec<Seal> {
    let mut previous = Hash::default();
    let mut seals = Vec::new();
    for (number, entries) in [(1, vec![1, 2]), (2, vec![3]), (3, vec![4])] {
        let entries =
            entries.into_iter().map(|entry| SealedEntry { audit_id: id(entry), hash: hash_of(entry) });
        let seal = Seal {
            project_id: "p".into(),
            number,
            at: at(i64::try_from(number).unwrap()),
            previous,
            entries: entries.collect(),
        };
        previous = seal.hash();
        seals.push(seal);
    }
    seals
}

fn entries() -> HashMap<Uuid, Hash> {
    (1..=4).map(|number| (id(number), hash_of(number))).collect()
}

fn head(seals: &[Seal]) -> Head {
    seals.last().map(|seal| Head { number: seal.number, hash: seal.hash() }).unwrap_or_default()
}

fn verify(seals: &[Seal], found: &HashMap<Uuid, Hash>, stored: Head) -> Result<Chain, Broken> {
    let mut chain = Chain::new(&Origin::FirstSeal, &NOBODY, Unsigned::Accepted)?;
    for seal in seals {
        chain.check(seal, &seal.hash(), &NOBODY, found)?;
    }
    chain.end(stored, None)?;
    Ok(chain)
}

fn broken(seals: &[Seal], found: &HashMap<Uuid, Hash>, stored: Head) -> (Option<u64>, Fault) {
    let broken = verify(seals, found, stored).unwrap_err();
    (broken.seal, broken.fault)
}

#[test]
fn untouched_chain_is_verified_and_counted() {
    let seals = seals();
    let chain = verify(&seals, &entries(), head(&seals)).unwrap();
    assert_eq!((chain.seals, chain.entries, chain.unsigned_seals), (3, 4, 3));
    assert_eq!((chain.head(), chain.last_at), (head(&seals), Some(at(3))));
    verify(&[], &HashMap::new(), Head::default()).unwrap();
}

#[test]
fn changed_and_missing_entries_are_named() {
    let seals = seals();
    let mut found = entries();
    found.insert(id(3), hash_of(9));
    assert_eq!(broken(&seals, &found, head(&seals)), (Some(2), Fault::ChangedEntry(id(3))));
    found.remove(&id(3));
    assert_eq!(broken(&seals, &found, head(&seals)), (Some(2), Fault::MissingEntry(id(3))));
}

#[test]
fn missing_seal_is_found_anywhere_in_the_chain() {
    let all = seals();
    for place in 0..3 {
        let mut left = all.clone();
        left.remove(place);
        let number = u64::try_from(place).unwrap() + 1;
        assert_eq!(broken(&left, &entries(), head(&all)), (Some(number), Fault::MissingSeal), "{place}");
    }
}

#[test]
fn changed_seal_is_found_even_with_a_new_hash() {
    let all = seals();
    let mut changed = all.clone();
    changed[1].entries[0].hash = hash_of(9);
    let mut found = entries();
    found.insert(id(3), hash_of(9));
    // The seal and its hash fit the changed entry, but the next seal does not follow.
    assert_eq!(broken(&changed, &found, head(&all)), (Some(3), Fault::ChangedSeal));
    // The last one is compared with the head.
    let mut changed = all.clone();
    changed[2].at = at(9);
    assert_eq!(broken(&changed, &entries(), head(&all)), (Some(3), Fault::ChangedSeal));
    let mut chain = Chain::new(&Origin::FirstSeal, &NOBODY, Unsigned::Accepted).unwrap();
    let stored = chain.check(&all[0], &hash_of(9), &NOBODY, &entries()).unwrap_err();
    assert_eq!(stored.fault, Fault::ChangedSeal);
}

#[test]
fn forged_or_missing_signature_breaks_the_chain() {
    let seal = &seals()[0];
    let check = |by: &SealedBy, unsigned| {
        let mut chain = Chain::new(&Origin::FirstSeal, &NOBODY, unsigned).unwrap();
        chain.check(seal, &seal.hash(), by, &entries()).map(|()| chain).map_err(|broken| broken.fault)
    };
    let signer = SealedBy::Signer("graywave://role/signer/s".into());
    assert_eq!(check(&signer, Unsigned::Refused).unwrap().unsigned_seals, 0);
    assert!(check(&SealedBy::Unverified, Unsigned::Refused).is_ok());
    assert_eq!(check(&NOBODY, Unsigned::Refused), Err(Fault::MissingSignature));
    let forged = SealedBy::Forger("another CA".into());
    let fault = Fault::ForgedSignature("another CA".into());
    assert_eq!(check(&forged, Unsigned::Accepted), Err(fault.clone()));
    let checkpoint =
        Checkpoint { project_id: "p".into(), kept_from: id(3), at: at(5), number: 1, hash: seal.hash() };
    let begun = Chain::new(&Origin::Checkpoint(checkpoint), &forged, Unsigned::Accepted);
    assert_eq!(begun.unwrap_err().fault, fault);
}

#[test]
fn unsigned_seal_behind_a_signed_one_breaks_the_chain() {
    let (all, signer) = (seals(), SealedBy::Signer("graywave://role/signer/s".into()));
    let mut chain = Chain::new(&Origin::FirstSeal, &NOBODY, Unsigned::Accepted).unwrap();
    chain.check(&all[0], &all[0].hash(), &NOBODY, &entries()).unwrap();
    chain.check(&all[1], &all[1].hash(), &signer, &entries()).unwrap();
    let broken = chain.check(&all[2], &all[2].hash(), &NOBODY, &entries()).unwrap_err();
    assert_eq!((broken.seal, broken.fault), (Some(3), Fault::MissingSignature));
}

#[test]
fn verification_begins_behind_a_checkpoint() {
    let seals = seals();
    let checkpoint = Checkpoint {
        project_id: "p".into(),
        // Entry 3 belongs to the deleted month, and its seal to the next one.
        kept_from: id(4),
        at: at(5),
        number: 1,
        hash: seals[0].hash(),
    };
    let found = HashMap::from([(id(4), hash_of(4))]);
    let begin = || Chain::new(&Origin::Checkpoint(checkpoint.clone()), &NOBODY, Unsigned::Accepted).unwrap();
    let mut chain = begin();
    for seal in &seals[1..] {
        chain.check(seal, &seal.hash(), &NOBODY, &found).unwrap();
    }
    chain.end(head(&seals), None).unwrap();
    let missing = begin().check(&seals[2], &seals[2].hash(), &NOBODY, &found).unwrap_err();
    assert_eq!((missing.seal, missing.fault), (Some(2), Fault::MissingSeal));
    let mut chain = begin();
    chain.check(&seals[1], &seals[1].hash(), &NOBODY, &found).unwrap();
    let missing = chain.check(&seals[2], &seals[2].hash(), &NOBODY, &HashMap::new()).unwrap_err();
    assert_eq!(missing.fault, Fault::MissingEntry(id(4)), "the checkpoint covers older entries only");
}

#[test]
fn entry_without_a_seal_is_named_at_the_end() {
    let chain = Chain::new(&Origin::FirstSeal, &NOBODY, Unsigned::Accepted).unwrap();
    let fault = Fault::InsertedEntry(id(7));
    let inserted = chain.end(Head::default(), Some((fault.clone(), Some(at(7))))).unwrap_err();
    assert_eq!(inserted, Broken { seal: None, at: Some(at(7)), fault });
}
