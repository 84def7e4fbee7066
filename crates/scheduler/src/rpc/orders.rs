//! Signs pull responses: one signature covers all orders of a response.

use mtls::{Shown, Signer};
use prost::Message as _;
use proto::{
    order::{BatchTerms, ScriptTerms, Signature, TargetTerms},
    order_signing,
    scheduler::{Batch, PullResponse, Target, TaskSpec},
    types::Script,
};

/// Encodes the terms of each order and signs all of them together. A response without orders gets
/// no signature.
///
/// # Errors
///
/// The signer's reason why it cannot sign.
pub(crate) fn sign(answer: &mut PullResponse, signer: &Signer, deny_list_version: u64) -> Result<(), String> {
    let scripts: Vec<ScriptTerms> = answer.scripts.iter().map(script_terms).collect();
    for batch in &mut answer.batches {
        batch.signed_terms = batch_terms(batch, &scripts, deny_list_version).encode_to_vec();
        for target in &mut batch.targets {
            target.signed_terms = target_terms(target).encode_to_vec();
        }
    }
    let Some(tree) = order_signing::tree(answer) else { return Ok(()) };
    let Shown { certificate, signature } = signer.sign(&order_signing::message(&tree.root(), tree.size()))?;
    answer.signature = Some(Signature { certificate, signature });
    Ok(())
}

fn batch_terms(batch: &Batch, scripts: &[ScriptTerms], deny_list_version: u64) -> BatchTerms {
    let none = TaskSpec::default();
    let spec = batch.spec.as_ref().unwrap_or(&none);
    BatchTerms {
        task_id: batch.task_id.clone(),
        attempt: spec.attempt,
        project_id: spec.project_id.clone(),
        wave: batch.wave,
        scripts: spec
            .script_indexes
            .iter()
            .enumerate()
            .filter_map(|(place, index)| {
                let parameters = spec.script_parameters.get(place).map(|it| it.values.clone());
                let script = scripts.get(*index as usize)?.clone();
                Some(ScriptTerms { parameters: parameters.unwrap_or_default(), ..script })
            })
            .collect(),
        execution_timeout_ms: spec.execution_timeout_ms,
        deliver_by_unix_ms: batch.deliver_by_unix_ms,
        success_exit_codes: spec.success_exit_codes.clone(),
        query_only: batch.query_only,
        max_running: spec.max_running,
        run_as_user: spec.run_as_user.clone(),
        kill_left_processes: spec.kill_left_processes,
        retried_task_ids: spec.retried_task_ids.clone(),
        deny_list_version,
        reboot: spec.reboot.clone(),
    }
}

fn script_terms(script: &Script) -> ScriptTerms {
    let sha256 = order_signing::script_sha256(&script.script_type, &script.content);
    ScriptTerms {
        script_id: script.script_id.clone(),
        script_type: script.script_type.clone(),
        // Stored scripts have known types only.
        sha256: sha256.map(Vec::from).unwrap_or_default(),
        // They differ between tasks that run the same script.
        parameters: Vec::new(),
    }
}

fn target_terms(target: &Target) -> TargetTerms {
    TargetTerms {
        ordinal: target.ordinal,
        desktop_id: target.desktop_id.clone(),
        first_script: target.first_script,
    }
}
