//! Builds pull responses: leased batches as messages, each script once.

use std::collections::HashMap;

use domain::{ids::ScriptId, policy::Cleanup, return_policy::ReturnPolicy};
use proto::{
    order::{ParameterValue, RebootTerms, ScriptParameters},
    scheduler::{Batch, PullResponse, RevokedConnection, Target, TaskSpec},
    types::Script,
    unix_ms,
};
use store::task::RunnableScript;

use crate::leased::Leased;

/// Builds the unsigned pull response for the leased batches and their scripts.
pub(crate) fn pull_response(
    leased: &[Leased],
    lease_ms: u32,
    revoked: Vec<RevokedConnection>,
) -> PullResponse {
    let mut scripts = Scripts::default();
    let batches = leased.iter().map(|leased| batch(leased, lease_ms, &mut scripts)).collect();
    PullResponse { batches, signature: None, revoked, scripts: scripts.in_order, deny_list: None }
}

/// Scripts of a response. A script revision appears once, even if several tasks run it.
#[derive(Debug, Default)]
struct Scripts {
    in_order: Vec<Script>,
    indexes: HashMap<(Option<ScriptId>, [u8; 32]), u32>,
}

impl Scripts {
    fn index(&mut self, script: &RunnableScript) -> u32 {
        let next = u32::try_from(self.in_order.len()).unwrap_or(u32::MAX);
        *self.indexes.entry((script.script_id, script.sha256)).or_insert_with(|| {
            self.in_order.push(Script {
                script_id: script.script_id.map(|id| id.to_string()).unwrap_or_default(),
                script_type: script.script_type.as_str().to_owned(),
                content: script.content.clone(),
            });
            next
        })
    }
}

fn batch(leased: &Leased, lease_ms: u32, scripts: &mut Scripts) -> Batch {
    let Leased { batch, spec, first_scripts, max_running, stops, lease_until, trace_context } = leased;
    // An agent must not start a script after its task has expired.
    let deliver_by = spec.facts.expires_at.map_or(batch.terms.deadlines.deliver_by, |expires_at| {
        batch.terms.deadlines.deliver_by.min(expires_at)
    });
    Batch {
        task_id: batch.terms.task_id.to_string(),
        batch_id: batch.batch_id.to_string(),
        epoch: batch.epoch,
        wave: u32::from(batch.terms.wave),
        targets: batch
            .members
            .iter()
            .map(|member| Target {
                ordinal: member.ordinal,
                desktop_id: member.desktop_id.as_str().to_owned(),
                first_script: first_scripts.get(&member.ordinal).copied().map_or(0, u32::from),
                stop_script: stops.get(&member.ordinal).copied().map(u32::from),
                signed_terms: Vec::new(),
                agent_id: member.agent_id.clone(),
            })
            .collect(),
        spec: Some(TaskSpec {
            project_id: spec.facts.project_id.as_str().to_owned(),
            script_indexes: spec.scripts.iter().map(|script| scripts.index(script)).collect(),
            execution_timeout_ms: spec.facts.timeouts.execution.num_milliseconds(),
            attempt: u32::from(spec.facts.attempt),
            success_exit_codes: spec.facts.policy.all_success_exit_codes(),
            max_running: max_running.map(u32::from),
            run_as_user: spec.facts.policy.run_as_user.clone().unwrap_or_default(),
            kill_left_processes: spec.facts.policy.cleanup == Cleanup::Kill,
            retried_task_ids: spec.retried.iter().map(ToString::to_string).collect(),
            script_parameters: parameters(&spec.scripts),
            reboot: reboot(&spec.facts.policy.returns),
        }),
        lease_ms,
        deliver_by_unix_ms: unix_ms(Some(deliver_by)),
        query_only: batch.query_only,
        lease_until_unix_ms: unix_ms(Some(*lease_until)),
        trace_context: trace_context.clone().unwrap_or_default(),
        signed_terms: Vec::new(),
    }
}

/// Permission to reboot or to power off the desktops; `None` without one.
fn reboot(returns: &ReturnPolicy) -> Option<RebootTerms> {
    returns.acts().then(|| RebootTerms {
        exit_codes: returns.reboot_exit_codes.clone(),
        post_finish: returns.post_finish.map(|action| action.as_str().to_owned()).unwrap_or_default(),
        if_user_active: returns.if_user_active.as_str().to_owned(),
        timeout_ms: returns.timeout().num_milliseconds(),
    })
}

/// Values of the parameters of each script; empty if no script has any.
fn parameters(scripts: &[RunnableScript]) -> Vec<ScriptParameters> {
    if scripts.iter().all(|script| script.parameters.is_empty()) {
        return Vec::new();
    }
    let value =
        |(name, value): (&String, &String)| ParameterValue { name: name.clone(), value: value.clone() };
    let of_script =
        |script: &RunnableScript| ScriptParameters { values: script.parameters.iter().map(value).collect() };
    scripts.iter().map(of_script).collect()
}
