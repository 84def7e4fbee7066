//! Results on their way from an agent to the engine. The rules of the real processes check them:
//! those of each edge (`proto`), and the parts of a refused report (`engine`).

use domain::{outcome::Outcome, process::ProcessReport};
use engine::ScriptResult;
use proto::{types::ScriptResult as SentResult, unix_ms_in_range};

use super::event::{ScriptOutcome, TargetResult};

/// The results of a target's scripts, as the engine gets them: checked by the worker and by the
/// scheduler. With `keeps_outcomes`, the worker breaks its rule.
///
/// # Errors
///
/// When the scheduler refuses them.
pub(super) fn checked(
    result: &TargetResult,
    keeps_outcomes: bool,
) -> Result<Vec<ScriptResult>, domain::Error> {
    let mut scripts = sent(result);
    if let Some(poison) = result.poison {
        poison.change(&mut scripts);
    }
    if let Err(error) = proto::check_results(&mut scripts) {
        if keeps_outcomes {
            scripts = sent(result);
        } else {
            proto::make_unknown(&mut scripts, &error.to_string());
        }
    }
    proto::check_results(&mut scripts)?;
    scripts.into_iter().map(taken).collect()
}

/// The results as an honest agent sends them.
fn sent(result: &TargetResult) -> Vec<SentResult> {
    let ended_at = result.ended_at.map_or(0, |at| at.timestamp_millis());
    let of_script = |(place, (outcome, exit_code)): (u32, &ScriptOutcome)| SentResult {
        script: place,
        outcome: outcome.as_str().to_owned(),
        exit_code: *exit_code,
        started_at_unix_ms: ended_at,
        ended_at_unix_ms: ended_at,
        reason: if *outcome == Outcome::Success { "" } else { outcome.as_str() }.to_owned(),
        ..SentResult::default()
    };
    (0..).zip(&result.scripts).map(of_script).collect()
}

fn taken(script: SentResult) -> Result<ScriptResult, domain::Error> {
    Ok(ScriptResult {
        outcome: script.outcome.parse()?,
        exit_code: script.exit_code,
        started_at: unix_ms_in_range("started_at_unix_ms", script.started_at_unix_ms)?,
        ended_at: unix_ms_in_range("ended_at_unix_ms", script.ended_at_unix_ms)?,
        output: script.output,
        reason: script.reason,
        process: ProcessReport::default(),
    })
}
