//! Results of scripts as an agent sends them. Every edge that receives results checks them, since
//! an agent may send any value.

use domain::limits;

use crate::{
    ScriptOutcome,
    convert::unix_ms_in_range,
    types::{LeftProcess, ScriptResult},
};

/// Checks the results of one target's scripts, and makes their texts fit their columns.
///
/// # Errors
///
/// When there are more results than a task may have scripts, a result names another script than
/// that of its place, an outcome is unknown, or a time is out of range.
pub fn check_results(scripts: &mut [ScriptResult]) -> Result<(), domain::Error> {
    if scripts.len() > limits::MAX_SCRIPTS_PER_TASK {
        let message =
            format!("{} script results: a task has at most {}", scripts.len(), limits::MAX_SCRIPTS_PER_TASK);
        return Err(domain::Error::unreadable(message));
    }
    for (place, script) in (0u32..).zip(scripts) {
        if script.script != place {
            let message = format!("result {place} names script {}; expected {place}", script.script);
            return Err(domain::Error::unreadable(message));
        }
        script.outcome.parse::<ScriptOutcome>()?;
        unix_ms_in_range("started_at_unix_ms", script.started_at_unix_ms)?;
        unix_ms_in_range("ended_at_unix_ms", script.ended_at_unix_ms)?;
        fit(script);
    }
    Ok(())
}

/// Replaces results that are not valid: the outcome of each script is UNKNOWN, for this reason.
/// None of the agent's values is kept.
pub fn make_unknown(scripts: &mut Vec<ScriptResult>, reason: &str) {
    scripts.truncate(limits::MAX_SCRIPTS_PER_TASK);
    let mut reason = reason.to_owned();
    make_storable(&mut reason, limits::MAX_REASON_BYTES);
    for (place, script) in (0..).zip(scripts) {
        *script = ScriptResult {
            script: place,
            outcome: ScriptOutcome::Unknown.as_str().to_owned(),
            reason: reason.clone(),
            ..ScriptResult::default()
        };
    }
}

fn fit(script: &mut ScriptResult) {
    make_storable(&mut script.output, limits::MAX_OUTPUT_BYTES);
    make_storable(&mut script.reason, limits::MAX_REASON_BYTES);
    make_storable(&mut script.interpreter, limits::MAX_INTERPRETER_BYTES);
    script.left_processes.truncate(limits::MAX_LEFT_PROCESSES);
    for LeftProcess { command, user, .. } in &mut script.left_processes {
        make_storable(command, limits::MAX_LEFT_COMMAND_BYTES);
        make_storable(user, limits::MAX_LEFT_USER_BYTES);
    }
}

/// Makes a text fit its column: replaces NUL, which Postgres cannot store, and cuts the text at
/// `max_bytes`.
fn make_storable(text: &mut String, max_bytes: usize) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    text.truncate(text.floor_char_boundary(max_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success() -> ScriptResult {
        ScriptResult { outcome: "SUCCESS".into(), ..ScriptResult::default() }
    }

    fn refusal(change: impl FnOnce(&mut ScriptResult)) -> String {
        let mut script = success();
        change(&mut script);
        check_results(&mut [script]).unwrap_err().to_string()
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        assert!(check_results(&mut [success()]).is_ok());
        assert!(check_results(&mut []).is_ok());
        let before_time = refusal(|script| script.started_at_unix_ms = -300_000_000_000_000);
        assert!(before_time.contains("started_at_unix_ms"), "{before_time}");
        let after_time = refusal(|script| script.ended_at_unix_ms = i64::MAX);
        assert!(after_time.contains("ended_at_unix_ms"), "{after_time}");
        assert!(refusal(|script| script.script = u32::MAX).contains("names script 4294967295"));
        assert!(refusal(|script| script.outcome = "WON".into()).contains("WON"));
        let mut many = vec![success(); limits::MAX_SCRIPTS_PER_TASK + 1];
        assert!(check_results(&mut many).unwrap_err().to_string().contains("at most 20"));
    }

    #[test]
    fn texts_are_cut_to_their_columns_without_nul() {
        let long = format!("\0{}", "\u{1f980}".repeat(limits::MAX_OUTPUT_BYTES));
        let process = LeftProcess { command: long.clone(), user: long.clone(), ..LeftProcess::default() };
        let mut scripts = [ScriptResult {
            output: long.clone(),
            reason: long.clone(),
            interpreter: long,
            left_processes: vec![process; 1_000],
            ..success()
        }];
        check_results(&mut scripts).unwrap();
        let script = &scripts[0];
        assert!((limits::MAX_OUTPUT_BYTES - 3..=limits::MAX_OUTPUT_BYTES).contains(&script.output.len()));
        assert!(script.reason.len() <= limits::MAX_REASON_BYTES && script.reason.starts_with('\u{fffd}'));
        assert!(script.interpreter.len() <= limits::MAX_INTERPRETER_BYTES);
        assert_eq!(script.left_processes.len(), limits::MAX_LEFT_PROCESSES);
        assert!(script.left_processes.iter().all(|left| left.user.len() <= limits::MAX_LEFT_USER_BYTES));
        assert!(
            script.left_processes.iter().all(|left| left.command.len() <= limits::MAX_LEFT_COMMAND_BYTES)
        );
    }

    #[test]
    fn unknown_results_keep_no_value_of_the_agent() {
        let lie = ScriptResult { script: 9, output: "\0".into(), ended_at_unix_ms: i64::MIN, ..success() };
        let mut scripts = vec![lie; limits::MAX_SCRIPTS_PER_TASK + 1];
        make_unknown(&mut scripts, "no\0time");
        assert_eq!(scripts.len(), limits::MAX_SCRIPTS_PER_TASK);
        check_results(&mut scripts).unwrap();
        assert!(scripts.iter().all(|script| script.outcome == "UNKNOWN" && script.output.is_empty()));
        assert!(scripts.iter().all(|script| script.reason == "no\u{fffd}time"));
    }
}
