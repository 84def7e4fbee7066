//! The gate: reads a wave's results and says proceed, hold or halt. docs/gate.md has the table.

use crate::threshold::Threshold;

/// Results, as thresholds see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Results {
    /// Targets that ended.
    pub finished: u32,
    /// Those among them that count as failures.
    pub failed: u32,
}

/// What the gate knows of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateInput {
    /// Targets of the wave.
    pub size: u32,
    /// The wave's.
    pub results: Results,
    /// Targets that ended so that the rollout halts at once.
    pub halting: u32,
    /// Failures of the wave at which the rollout halts; `None` when nothing was asked for.
    pub fail_threshold: Option<Threshold>,
    /// Those of its missing targets whose desktop is away and that were never handed out.
    pub waiting: u32,
    /// Hundredths of a percent of its targets with which it may be over although the missing ones are away; the last wave
    /// waits for all.
    pub quorum: Option<u32>,
    /// Of the waves before it.
    pub earlier: Results,
    /// Targets of the waves before it that have not ended.
    pub earlier_missing: u32,
    /// Whether no wave follows.
    pub is_last: bool,
    /// Whether the wave is closed already, on a quorum: its remaining results still count.
    pub is_closed: bool,
    /// Failures of all waves together at which the rollout halts.
    pub task_threshold: Option<Threshold>,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The wave is over and good enough: the next one may open.
    Proceed(String),
    /// The wave still runs and its failures are below the threshold.
    AdmissionBlock(String),
    /// Failures reached the threshold: nothing of a later wave may start, ever.
    Halt(String),
}

/// Why a rollout is halted, in one of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltKind {
    /// A script ended with an exit code that halts at once.
    ExitCode,
    /// The wave's fail threshold.
    Wave,
    /// The fail threshold of the whole task.
    Task,
}

impl HaltKind {
    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExitCode => "exit_code",
            Self::Wave => "wave_threshold",
            Self::Task => "task_threshold",
        }
    }
}

/// The rule. Reached means `>=`. A halt is said as soon as it is certain, not when the wave is over; and it wins
/// over a proceed, so the last target of a wave cannot open the next one with the failure that crosses the line.
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
        return Verdict::AdmissionBlock(format!(
            "{judged}; {} targets of earlier waves are missing",
            input.earlier_missing
        ));
    }
    if has_quorum(input) {
        return Verdict::Proceed(format!("{judged}; waiting: {missing}, and the others are a quorum"));
    }
    Verdict::AdmissionBlock(match input.waiting {
        0 => format!("{finished} of {size} targets ended, {failed} of them failed"),
        waiting => {
            format!("{finished} of {size} targets ended, {failed} of them failed; waiting: {waiting}")
        }
    })
}

/// Whether the wave closes without its missing targets. Those that run or are not admitted yet are always waited for.
fn has_quorum(input: &GateInput) -> bool {
    let GateInput { size, results: Results { finished, .. }, .. } = *input;
    let is_enough = |quorum| u64::from(finished) * 10_000 >= u64::from(quorum) * u64::from(size);
    !input.is_last && size - finished == input.waiting && input.quorum.is_some_and(is_enough)
}

/// Whether the wave is closed, or closes unless a threshold halts it.
fn closes(input: &GateInput) -> bool {
    let missing = input.size - input.results.finished;
    input.is_closed || has_quorum(input) || missing == 0 && (!input.is_last || input.earlier_missing == 0)
}

/// Whether and why the rollout is halted.
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
        // Waves that follow may still bring the results that a percentage waits for.
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

/// Whether results reach a threshold; `closes` says that no further results come.
const fn is_reached(threshold: Threshold, results: Results, closes: bool) -> bool {
    let Results { finished, failed } = results;
    if closes {
        threshold.is_reached_at_close(failed, finished)
    } else {
        threshold.is_reached(failed, finished)
    }
}

/// What a threshold is of: a count of the wave, a share of the results so far.
const fn of(threshold: Threshold, size: u32, finished: u32) -> u32 {
    match threshold {
        Threshold::Count(_) => size,
        Threshold::Percent { .. } => finished,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
