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
    /// Failures of all waves together at which the rollout halts.
    pub task_threshold: Option<Threshold>,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The wave is over and good enough: the next one may open.
    Proceed(String),
    /// The wave still runs and its failures are below the threshold.
    Hold(String),
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
        return Verdict::Hold(format!(
            "{judged}; {} targets of earlier waves are missing",
            input.earlier_missing
        ));
    }
    // What runs, or was not admitted yet, is always waited for.
    if let Some(quorum) = input.quorum
        && !input.is_last
        && missing == input.waiting
        && u64::from(finished) * 10_000 >= u64::from(quorum) * u64::from(size)
    {
        return Verdict::Proceed(format!("{judged}; waiting: {missing}, and the others are a quorum"));
    }
    Verdict::Hold(match input.waiting {
        0 => format!("{finished} of {size} targets ended, {failed} of them failed"),
        waiting => {
            format!("{finished} of {size} targets ended, {failed} of them failed; waiting: {waiting}")
        }
    })
}

/// Whether and why the rollout is halted.
pub fn halt(input: &GateInput) -> Option<(HaltKind, String)> {
    let GateInput { size, results: Results { finished, failed }, earlier, .. } = *input;
    if input.halting > 0 {
        let reason =
            format!("{} of {size} targets ended with an exit code that halts the rollout", input.halting);
        return Some((HaltKind::ExitCode, reason));
    }
    if let Some(threshold) = input.fail_threshold
        && threshold.is_reached(failed, finished)
    {
        let reason = format!(
            "{failed} of {} targets failed: the fail threshold {threshold} is reached",
            of(threshold, size, finished)
        );
        return Some((HaltKind::Wave, reason));
    }
    let (all_failed, all_finished) = (earlier.failed + failed, earlier.finished + finished);
    if let Some(threshold) = input.task_threshold
        && threshold.is_reached(all_failed, all_finished)
    {
        let reason = format!(
            "{all_failed} of {all_finished} targets of all waves failed: the task's fail threshold {threshold} is reached"
        );
        return Some((HaltKind::Task, reason));
    }
    None
}

/// What a threshold is of: a count of the wave, a share of the results so far.
const fn of(threshold: Threshold, size: u32, finished: u32) -> u32 {
    match threshold {
        Threshold::Count(_) => size,
        Threshold::Percent { .. } => finished,
    }
}

#[cfg(test)]
mod tests;
