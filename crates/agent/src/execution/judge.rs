//! Outcome of an execution: the pure part.

use std::time::Duration;

use proto::ScriptOutcome;
use runner::{End, Ended, LeftProcess};

use crate::journal::{Record, RunFacts};

/// Number of processes that a reason names; the record has more.
const NAMED: usize = 3;

/// Cause for which an order is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StopCause {
    /// A person or a halt of the task requested the stop.
    #[default]
    Request,
    /// A retry of the order is to start.
    Retry,
}

impl StopCause {
    /// Reason of a script that was running.
    const fn while_running(self) -> &'static str {
        match self {
            Self::Request => "stopped by request while it ran",
            Self::Retry => "ended on the desktop while it ran, because its retry was to start",
        }
    }

    /// Reason of a script that had not started.
    pub(crate) const fn before_start(self) -> &'static str {
        match self {
            Self::Request => "stopped by request before it started",
            Self::Retry => "not started, because its retry was to start",
        }
    }
}

/// Record of a script that ended under its runner. `started_at` is in Unix milliseconds, by the
/// control plane's clock.
pub(crate) fn judge(
    script: u32,
    ended: Ended,
    interpreter: String,
    timeout: Duration,
    success_exit_codes: &[i32],
    started_at: i64,
    stop_cause: StopCause,
) -> Record {
    let (outcome, exit_code, mut reason) = verdict(&ended.end, timeout, success_exit_codes, stop_cause);
    let survivors: Vec<LeftProcess> =
        ended.left_processes.iter().filter(|process| process.survived_kill).cloned().collect();
    append_survivors(&mut reason, &survivors);
    if outcome == ScriptOutcome::Rejected {
        return Record::bare(script, outcome, &reason, started_at);
    }
    let ended_at = started_at.saturating_add(i64::try_from(ended.elapsed_ms).unwrap_or(i64::MAX));
    let facts = RunFacts {
        interpreter,
        signal: if let End::Signaled { signal } = ended.end { Some(signal) } else { None },
        containment: ended.containment.as_str().to_owned(),
        left_processes: ended.left_processes,
        left_processes_count: ended.left_processes_count,
    };
    Record {
        exit_code,
        started_at,
        output: ended.output,
        run: Some(Box::new(facts)),
        ..Record::bare(script, outcome, &reason, ended_at)
    }
}

/// Appends the processes that survived a kill to a reason.
pub(crate) fn append_survivors(reason: &mut String, survivors: &[LeftProcess]) {
    for (number, process) in survivors.iter().take(NAMED).enumerate() {
        let before = if number == 0 { "; processes that survived the kill: " } else { ", " };
        reason.push_str(&format!("{before}{process}"));
    }
    if survivors.len() > NAMED {
        reason.push_str(&format!(" and {} more", survivors.len() - NAMED));
    }
}

fn verdict(
    end: &End,
    timeout: Duration,
    success_exit_codes: &[i32],
    stop_cause: StopCause,
) -> (ScriptOutcome, Option<i32>, String) {
    match end {
        End::Exited { code } => of_code(*code, format!("exit code {code}"), success_exit_codes),
        End::Signaled { signal } => {
            // As a shell reports it, so that rules for exit codes apply.
            let code = 128 + signal;
            of_code(code, format!("killed by signal {signal}"), success_exit_codes)
        }
        End::TimedOut => {
            (ScriptOutcome::Timeout, None, format!("still running after {} ms", timeout.as_millis()))
        }
        End::Stopped => (ScriptOutcome::Stopped, None, stop_cause.while_running().to_owned()),
        // Not STOPPED, which no budget counts: no stop was requested, and a canary that takes its
        // desktop down is not a success.
        End::AgentEnded => (ScriptOutcome::Unknown, None, "the agent was stopped while it ran".to_owned()),
        End::MachineStopped => {
            (ScriptOutcome::Unknown, None, "the machine or its container was stopped while it ran".to_owned())
        }
        End::NotStarted { reason } => {
            (ScriptOutcome::Rejected, None, format!("starting the script failed: {reason}"))
        }
    }
}

fn of_code(code: i32, reason: String, success_exit_codes: &[i32]) -> (ScriptOutcome, Option<i32>, String) {
    if code == 0 {
        (ScriptOutcome::Success, Some(0), String::new())
    } else if success_exit_codes.contains(&code) {
        (ScriptOutcome::Success, Some(code), format!("{reason} counts as success"))
    } else {
        (ScriptOutcome::Failed, Some(code), reason)
    }
}

#[cfg(test)]
mod tests {
    use runner::Containment;

    use super::*;

    fn record(end: End, left_processes: Vec<LeftProcess>) -> Record {
        let ended = Ended {
            end,
            elapsed_ms: 5,
            containment: Containment::Mark,
            left_processes_count: u32::try_from(left_processes.len()).unwrap(),
            left_processes,
            output: "out".into(),
        };
        judge(0, ended, "/bin/sh".into(), Duration::from_millis(1_500), &[3, 137], 1_000, StopCause::Request)
    }

    #[track_caller]
    fn check(end: End, outcome: ScriptOutcome, exit_code: Option<i32>, reason: &str) {
        let record = record(end, Vec::new());
        assert_eq!((record.outcome, record.exit_code, record.reason.as_str()), (outcome, exit_code, reason));
    }

    #[test]
    fn end_gives_outcome_code_and_reason() {
        let exited = |code| End::Exited { code };
        check(exited(0), ScriptOutcome::Success, Some(0), "");
        check(exited(3), ScriptOutcome::Success, Some(3), "exit code 3 counts as success");
        check(exited(4), ScriptOutcome::Failed, Some(4), "exit code 4");
        check(End::Signaled { signal: 15 }, ScriptOutcome::Failed, Some(143), "killed by signal 15");
        check(
            End::Signaled { signal: 9 },
            ScriptOutcome::Success,
            Some(137),
            "killed by signal 9 counts as success",
        );
        check(End::TimedOut, ScriptOutcome::Timeout, None, "still running after 1500 ms");
        check(End::Stopped, ScriptOutcome::Stopped, None, "stopped by request while it ran");
        check(End::AgentEnded, ScriptOutcome::Unknown, None, "the agent was stopped while it ran");
        let reason = "the machine or its container was stopped while it ran";
        check(End::MachineStopped, ScriptOutcome::Unknown, None, reason);
        let reason = "starting the script failed: no";
        check(End::NotStarted { reason: "no".into() }, ScriptOutcome::Rejected, None, reason);
    }

    #[test]
    fn signal_and_times_are_in_the_record() {
        let record = record(End::Signaled { signal: 15 }, Vec::new());
        assert_eq!(record.run.unwrap().signal, Some(15));
        assert_eq!((record.started_at, record.ended_at, record.output.as_str()), (1_000, 1_005, "out"));
    }

    #[test]
    fn survivors_are_named_in_the_reason() {
        let survivor = |pid| LeftProcess {
            pid,
            command: format!("sleep {pid}"),
            user: "root".into(),
            survived_kill: true,
        };
        let daemon = LeftProcess { survived_kill: false, ..survivor(9) };
        let record = record(End::TimedOut, vec![survivor(1), daemon.clone()]);
        assert_eq!(
            record.reason,
            "still running after 1500 ms; processes that survived the kill: 1 sleep 1 (root)"
        );
        assert_eq!(record.run.unwrap().left_processes_count, 2);
        let mut reason = String::new();
        append_survivors(&mut reason, &[1, 2, 3, 4, 5].map(survivor));
        assert!(reason.ends_with("3 sleep 3 (root) and 2 more"), "{reason}");
        assert_eq!(self::record(End::Exited { code: 0 }, vec![daemon]).reason, "");
    }
}
