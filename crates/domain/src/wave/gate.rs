//! The gate: reads a wave's results and returns proceed, hold or halt. docs/gate.md has the table.

use crate::{BasisPoints, threshold::Threshold};

/// Result counts, as thresholds use them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Results {
    /// Number of targets that ended.
    pub finished: u32,
    /// Number of those that count as failures.
    pub failed: u32,
}

/// Input of the gate for one wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateInput {
    /// Number of targets in the wave.
    pub size: u32,
    /// Results of the wave.
    pub results: Results,
    /// Number of targets whose exit code halts the rollout immediately.
    pub halting: u32,
    /// Failures of the wave at which the rollout halts; `None` without a threshold.
    pub fail_threshold: Option<Threshold>,
    /// Number of missing targets that were never delivered and whose desktop is offline.
    pub waiting: u32,
    /// Share of finished targets at which the wave closes while the remaining desktops are offline;
    /// `None` without a quorum. The last wave waits for all its targets.
    pub quorum: Option<BasisPoints>,
    /// Results of the earlier waves.
    pub earlier: Results,
    /// Number of targets of earlier waves that have not ended.
    pub earlier_missing: u32,
    /// Whether no wave follows.
    pub is_last: bool,
    /// Whether the wave already closed on a quorum. Its remaining results still count.
    pub is_closed: bool,
    /// Failures of all waves together at which the rollout halts; `None` without a threshold.
    pub task_threshold: Option<Threshold>,
}

/// Verdict of the gate, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The wave is complete and its failures are below the threshold. The next one may open.
    Proceed(String),
    /// The wave still runs and its failures are below the threshold.
    Hold(String),
    /// Failures reached the threshold. No later wave may start, ever.
    Halt(String),
}

/// Rule that halted a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltKind {
    /// An exit code that halts immediately.
    ExitCode,
    /// The wave's failure threshold.
    Wave,
    /// The failure threshold of the whole task.
    Task,
}

impl HaltKind {
    /// Returns the name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExitCode => "exit_code",
            Self::Wave => "wave_threshold",
            Self::Task => "task_threshold",
        }
    }
}

/// Decides about a wave. A threshold is reached at `>=`. A halt is returned as soon as it is
/// certain, before the wave is complete. It takes precedence over a proceed: otherwise the
/// last target of a wave could open the next one with the failure that crosses the line.
pub fn decide(input: &GateInput) -> Verdict {
    let GateInput { size, results: Results { finished, failed }, .. } = *input;
    if let Some((_, reason)) = halt(input) {
        return Verdict::Halt(reason);
    }
    let judged = match input.fail_threshold {
        Some(threshold) => format!("{failed} of {size} targets failed, below the fail threshold {threshold}"),
        None => format!("{failed} of {size} targets failed, no fail threshold is set"),
    };
    let missing = size - finished;
    if missing == 0 && (!input.is_last || input.earlier_missing == 0) {
        return Verdict::Proceed(judged);
    }
    if missing == 0 {
        return Verdict::Hold(format!(
            "{judged}; {} targets of earlier waves are missing",
            input.earlier_missing
        ));
    }
    if has_quorum(input) {
        return Verdict::Proceed(format!("{judged}; waiting: {missing}; the other targets are a quorum"));
    }
    Verdict::Hold(match input.waiting {
        0 => format!("{finished} of {size} targets ended, {failed} of them failed"),
        waiting => {
            format!("{finished} of {size} targets ended, {failed} of them failed; waiting: {waiting}")
        }
    })
}

/// Returns whether the wave closes without its missing targets. Targets that run or are not
/// admitted yet always block the close.
fn has_quorum(input: &GateInput) -> bool {
    let GateInput { size, results: Results { finished, .. }, .. } = *input;
    let is_enough = |quorum: BasisPoints| quorum.is_reached(finished, size);
    !input.is_last && size - finished == input.waiting && input.quorum.is_some_and(is_enough)
}

/// Returns whether the wave is closed, or closes unless a threshold halts it.
fn closes(input: &GateInput) -> bool {
    let missing = input.size - input.results.finished;
    input.is_closed || has_quorum(input) || missing == 0 && (!input.is_last || input.earlier_missing == 0)
}

/// Returns the rule and the reason if the rollout must halt.
pub fn halt(input: &GateInput) -> Option<(HaltKind, String)> {
    let GateInput { size, results: Results { finished, failed }, earlier, .. } = *input;
    if input.halting > 0 {
        let reason =
            format!("{} of {size} targets ended with an exit code that halts the rollout", input.halting);
        return Some((HaltKind::ExitCode, reason));
    }
    let closes = closes(input);
    if let Some(threshold) = input.fail_threshold
        && is_reached(threshold, input.results, closes)
    {
        let reason = format!(
            "{failed} of {} targets failed: the fail threshold {threshold} is reached",
            of(threshold, size, finished)
        );
        return Some((HaltKind::Wave, reason));
    }
    let all = Results { finished: earlier.finished + finished, failed: earlier.failed + failed };
    if let Some(threshold) = input.task_threshold
        // Later waves may still provide the results that a percentage needs.
        && is_reached(threshold, all, closes && input.is_last)
    {
        let Results { finished, failed } = all;
        let reason = format!(
            "{failed} of {finished} targets of all waves failed: the task's fail threshold {threshold} is reached"
        );
        return Some((HaltKind::Task, reason));
    }
    None
}

/// Returns whether results reach a threshold. `closes` means that no further results arrive.
const fn is_reached(threshold: Threshold, results: Results, closes: bool) -> bool {
    let Results { finished, failed } = results;
    if closes {
        threshold.is_reached_at_close(failed, finished)
    } else {
        threshold.is_reached(failed, finished)
    }
}

/// Returns the base of a threshold in messages: the wave's size for a count, the results so far for
/// a percentage.
const fn of(threshold: Threshold, size: u32, finished: u32) -> u32 {
    match threshold {
        Threshold::Count(_) => size,
        Threshold::Percent { .. } => finished,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
