//! `graywave audit verify`.

use std::{fs, path::Path};

use anyhow::Context as _;
use cli::{AuditVerifyArgs, DatabaseFormat, ExitStatus, plain_table};
use control::{ChainVerdict, Control, Signature};
use domain::{
    Timestamp,
    audit::{Broken, SealedBy, Unsigned, is_cluster},
};
use mtls::SealRoots;
use serde_json::{Value, json};

use super::project::time;
use crate::{config::Settings, roles};

/// Verifies the audit's seals. Returns the output, and a failure if a chain is broken.
pub(crate) async fn verify_audit(
    arguments: &AuditVerifyArgs,
    settings: &Settings,
) -> anyhow::Result<(String, ExitStatus)> {
    let roots = arguments.ca_file.as_deref().or(settings.tls.ca_file.as_deref()).map(read_roots);
    let roots = roots.transpose()?;
    let store = settings.store()?.store;
    store.check_usable().await?;
    let control: Control = roles::control(settings, store, settings.access.master_keys()?.keys)?;
    // Without a CA no signature can be verified, so a missing one is no finding either.
    let is_lax = arguments.allow_unsigned || roots.is_none();
    let unsigned = if is_lax { Unsigned::Accepted } else { Unsigned::Refused };
    let judge = |message: &[u8], signature: &Signature, at| judge(roots.as_ref(), message, signature, at);
    let verdicts = control.verify_audit(arguments.project.as_ref(), unsigned, &judge).await?;
    let is_broken = verdicts.iter().any(|verdict| verdict.broken.is_some());
    let text = match arguments.output {
        DatabaseFormat::Json => json_text(&verdicts, roots.is_some()),
        DatabaseFormat::Table => table_text(&verdicts, roots.is_some()),
    };
    Ok((text, if is_broken { ExitStatus::Failed } else { ExitStatus::Success }))
}

fn read_roots(path: &Path) -> anyhow::Result<SealRoots> {
    let pem = fs::read(path).with_context(|| format!("--ca-file: cannot read {}", path.display()))?;
    SealRoots::read(&pem).map_err(|reason| anyhow::anyhow!("--ca-file: {} {reason}", path.display()))
}

fn judge(roots: Option<&SealRoots>, message: &[u8], signature: &Signature, at: Timestamp) -> SealedBy {
    let Some(roots) = roots else { return SealedBy::Unverified };
    let at_unix = u64::try_from(at.timestamp()).unwrap_or_default();
    match roots.verify_signed_at(&signature.certificate, message, &signature.signature, at_unix) {
        Ok(identity) => SealedBy::Signer(identity.to_string()),
        Err(error) => SealedBy::Forger(error.to_string()),
    }
}

fn name(verdict: &ChainVerdict) -> &str {
    if is_cluster(&verdict.project_id) { "(cluster)" } else { &verdict.project_id }
}

fn table_text(verdicts: &[ChainVerdict], has_roots: bool) -> String {
    let row = |verdict: &ChainVerdict| {
        vec![
            name(verdict).to_owned(),
            verdict.seals.to_string(),
            verdict.unsigned_seals.to_string(),
            verdict.sealed_entries.to_string(),
            verdict.unsealed_entries.to_string(),
            time(verdict.last_at),
            if verdict.broken.is_some() { "BROKEN" } else { "intact" }.to_owned(),
        ]
    };
    let heads = ["chain", "seals", "unsigned", "sealed entries", "not yet sealed", "last seal", "state"];
    let mut text = plain_table(&heads, verdicts.iter().map(row));
    for verdict in verdicts {
        if let Some(broken) = &verdict.broken {
            text.push_str(&format!("{}: broken{}: {}\n", name(verdict), place(broken), broken.fault));
        }
    }
    if !has_roots {
        text.push_str("signatures were not verified: name the CA with --ca-file\n");
    }
    let unsigned: u64 = verdicts.iter().map(|verdict| verdict.unsigned_seals).sum();
    if unsigned > 0 {
        text.push_str(&format!(
            "{unsigned} seals are not signed: a database superuser could have replaced them\n"
        ));
    }
    text
}

fn place(broken: &Broken) -> String {
    let seal = broken.seal.map_or_else(String::new, |number| format!(" at seal {number}"));
    let at = broken.at.map_or_else(String::new, |at| format!(" of {}", time(Some(at))));
    format!("{seal}{at}")
}

fn json_text(verdicts: &[ChainVerdict], has_roots: bool) -> String {
    let chain = |verdict: &ChainVerdict| {
        json!({
            // Null for the cluster's chain.
            "project_id": Some(&verdict.project_id).filter(|project_id| !is_cluster(project_id)),
            "intact": verdict.broken.is_none(),
            "seals": verdict.seals,
            "unsigned_seals": verdict.unsigned_seals,
            "sealed_entries": verdict.sealed_entries,
            "unsealed_entries": verdict.unsealed_entries,
            "checkpoint_time": verdict.checkpoint_at,
            "last_seal": verdict.last.number,
            "last_seal_hash": hex::encode(verdict.last.hash),
            "last_seal_time": verdict.last_at,
            "broken": verdict.broken.as_ref().map(broken_json),
        })
    };
    let intact = verdicts.iter().all(|verdict| verdict.broken.is_none());
    let chains: Vec<Value> = verdicts.iter().map(chain).collect();
    format!("{:#}\n", json!({"intact": intact, "signatures_verified": has_roots, "chains": chains}))
}

fn broken_json(broken: &Broken) -> Value {
    json!({
        "fault": broken.fault.word(),
        "seal": broken.seal,
        "time": broken.at,
        "audit_id": broken.fault.audit_id().map(|audit_id| audit_id.simple().to_string()),
        "message": broken.fault.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use domain::audit::{Fault, Head};

    use super::*;

    fn verdicts() -> [ChainVerdict; 2] {
        let at: Timestamp = "2026-11-30T23:00:01Z".parse().unwrap();
        let cluster = ChainVerdict {
            project_id: String::new(),
            checkpoint_at: None,
            seals: 2,
            unsigned_seals: 0,
            sealed_entries: 3,
            unsealed_entries: 1,
            last: Head { number: 2, hash: [1; 32] },
            last_at: Some(at),
            broken: None,
        };
        let fault = Fault::ChangedEntry("019a0000-0000-7000-8000-000000000000".parse().unwrap());
        let broken = Some(Broken { seal: Some(3), at: Some(at), fault });
        [cluster.clone(), ChainVerdict { project_id: "acme".into(), broken, unsigned_seals: 2, ..cluster }]
    }

    #[test]
    fn broken_chain_is_named_with_seal_time_and_entry() {
        assert_eq!(
            table_text(&verdicts(), false),
            "\
CHAIN      SEALS  UNSIGNED  SEALED ENTRIES  NOT YET SEALED  LAST SEAL            STATE
(cluster)  2      0         3               1               2026-11-30 23:00:01  intact
acme       2      2         3               1               2026-11-30 23:00:01  BROKEN
acme: broken at seal 3 of 2026-11-30 23:00:01: entry 019a0000000070008000000000000000 was changed after it was sealed
signatures were not verified: name the CA with --ca-file
2 seals are not signed: a database superuser could have replaced them
"
        );
    }

    #[test]
    fn json_has_a_verdict_for_each_chain() {
        let json: Value = serde_json::from_str(&json_text(&verdicts(), true)).unwrap();
        assert_eq!((&json["intact"], &json["signatures_verified"]), (&json!(false), &json!(true)));
        assert_eq!(
            (&json["chains"][0]["project_id"], &json["chains"][0]["broken"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(json["chains"][0]["last_seal_hash"], "01".repeat(32));
        let broken = &json["chains"][1]["broken"];
        assert_eq!((&broken["fault"], &broken["seal"]), (&json!("CHANGED_ENTRY"), &json!(3)));
        assert_eq!(broken["audit_id"], "019a0000000070008000000000000000");
    }
}
