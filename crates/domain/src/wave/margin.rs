//! The margin of a rollout: how far its failures are from the threshold, and how many more may fail
//! before the gate halts it.

use crate::{
    gate::{self, Results, Verdict},
    string_enum::string_enum,
    task::TaskStatus,
    threshold::Threshold,
    wave::{WaveState, WaveStatus, refresh_totals},
};

/// The targets that a threshold counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarginScope {
    /// Those of the current wave.
    Wave,
    /// Those of all waves.
    Task,
}

impl MarginScope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Wave, Self::Task];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wave => "WAVE",
            Self::Task => "TASK",
        }
    }
}

string_enum!(MarginScope, "scope");

/// Verdict of the gate on the current wave, without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarginVerdict {
    /// The next wave may open.
    Proceed,
    /// Results are missing.
    Hold,
    /// No later wave opens.
    Halt,
}

impl MarginVerdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Proceed, Self::Hold, Self::Halt];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proceed => "PROCEED",
            Self::Hold => "HOLD",
            Self::Halt => "HALT",
        }
    }
}

string_enum!(MarginVerdict, "verdict");

/// Distance of a rollout from its halt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Margin {
    /// The threshold that fewer failures reach; `None` without a threshold.
    pub scope: Option<MarginScope>,
    /// Failures so far that count against it.
    pub failed: u32,
    /// Targets without a result that may still fail although nothing more is admitted.
    pub at_risk: u32,
    /// Failures at which the rollout halts, if all next results are failures; `None` without a
    /// threshold.
    pub threshold: Option<u32>,
    /// The threshold as the request gave it; `None` without one.
    pub given: Option<Threshold>,
    /// Failures that are missing until the halt; `None` without a threshold.
    pub left: Option<u32>,
    /// Failures at most, those so far included, until the rollout halts or the wave ends.
    pub worst_case: u32,
    /// Whether too few targets are left to reach the threshold.
    pub is_unreachable: bool,
    /// Verdict of the gate on the current wave.
    pub verdict: MarginVerdict,
    /// Description for people.
    pub sentence: String,
}

/// A threshold with the targets that it counts.
struct Count {
    scope: MarginScope,
    threshold: Threshold,
    results: Results,
    at_risk: u32,
    /// Targets without a result: of the wave, or of the wave and the earlier ones.
    missing: u32,
    size: u32,
}

impl Count {
    /// Returns the number of further failures that reach the threshold, and whether this number of
    /// targets is left.
    fn left(&self) -> (u32, bool) {
        let Results { finished, failed } = self.results;
        let reaches = |more: u32| self.threshold.is_reached(failed + more, finished + more);
        match self.threshold {
            Threshold::Count(count) => {
                let left = count.saturating_sub(failed);
                (left, left <= self.missing)
            }
            // Every further failure raises the share, so the first number that reaches it is found
            // by halving.
            Threshold::Percent { .. } if reaches(self.missing) => {
                let (mut below, mut reached) = (0, self.missing);
                while below < reached {
                    let middle = below + (reached - below) / 2;
                    if reaches(middle) { reached = middle } else { below = middle + 1 }
                }
                (reached, true)
            }
            Threshold::Percent { .. } => {
                let at_close =
                    self.threshold.is_reached_at_close(failed + self.missing, finished + self.missing);
                (self.missing, at_close)
            }
        }
    }
}

/// Computes the margin of a task from all its waves, in order; `None` once the task has ended. The
/// current wave is the first wave that has not closed.
pub fn of_task(status: TaskStatus, waves: impl IntoIterator<Item = WaveState>) -> Option<Margin> {
    if status.is_ended() {
        return None;
    }
    let mut waves: Vec<WaveState> = waves.into_iter().collect();
    refresh_totals(Results::default(), &mut waves);
    waves.iter().find(|wave| wave.status != WaveStatus::Closed).map(margin)
}

/// Computes the margin of the current wave, whose totals over the other waves are up to date
/// ([`refresh_totals`]).
pub fn margin(wave: &WaveState) -> Margin {
    let verdict = verdict(wave);
    let is_over = wave.status.is_cut_short() || verdict == MarginVerdict::Halt;
    let counts = counts(wave);
    let nearest = counts.iter().min_by_key(|count| (!count.left().1, count.left().0));
    let Some(count) = nearest else {
        let (failed, at_risk) = (wave.failed, at_risk(wave));
        let missing = if is_over { at_risk } else { wave.size - wave.results().finished };
        return Margin {
            scope: None,
            failed,
            at_risk,
            threshold: None,
            given: None,
            left: None,
            worst_case: failed + missing,
            is_unreachable: false,
            verdict,
            sentence: format!(
                "{failed} of {} targets failed, {at_risk} are at risk; no fail threshold is set",
                wave.size
            ),
        };
    };
    let (left, is_reachable) = count.left();
    let failed = count.results.failed;
    let more = if is_over { count.at_risk } else { worst(wave, count, left).max(count.at_risk) };
    let threshold = failed + left;
    Margin {
        scope: Some(count.scope),
        failed,
        at_risk: count.at_risk,
        threshold: Some(threshold),
        given: Some(count.threshold),
        left: Some(left),
        worst_case: failed + more.min(count.missing),
        is_unreachable: !is_reachable,
        verdict,
        sentence: sentence(count, wave.size, threshold, is_reachable, is_over),
    }
}

fn verdict(wave: &WaveState) -> MarginVerdict {
    match gate::decide(&wave.gate_input()) {
        _ if wave.status == WaveStatus::Halted => MarginVerdict::Halt,
        Verdict::Halt(_) => MarginVerdict::Halt,
        Verdict::Proceed(_) => MarginVerdict::Proceed,
        Verdict::Hold(_) => MarginVerdict::Hold,
    }
}

/// Returns the number of targets that may fail although nothing more is admitted. An offline
/// desktop is at risk only if its task counts UNDELIVERED as a failure.
fn at_risk(wave: &WaveState) -> u32 {
    if wave.terms.ignores_away { wave.in_flight() } else { wave.missing() }
}

fn counts(wave: &WaveState) -> Vec<Count> {
    let own = wave.results();
    let of_wave = wave.fail_threshold.map(|threshold| Count {
        scope: MarginScope::Wave,
        threshold,
        results: own,
        at_risk: at_risk(wave),
        missing: wave.size - own.finished,
        size: wave.size,
    });
    let others = &wave.others;
    let others_at_risk = if wave.terms.ignores_away { others.in_flight } else { others.missing() };
    let all = Results {
        finished: own.finished + others.results.finished,
        failed: own.failed + others.results.failed,
    };
    let of_task = wave.terms.task_threshold.map(|threshold| Count {
        scope: MarginScope::Task,
        threshold,
        results: all,
        at_risk: at_risk(wave) + others_at_risk,
        missing: wave.size - own.finished + others.missing(),
        size: wave.size + others.results.finished + others.missing(),
    });
    of_wave.into_iter().chain(of_task).collect()
}

/// Returns how many more targets can fail before the halt takes effect. In strict mode no target is
/// admitted that could fail beyond the threshold. Otherwise those in flight may fail together with
/// the one that reaches it.
fn worst(wave: &WaveState, count: &Count, left: u32) -> u32 {
    if wave.terms.strict && count.threshold.count().is_some() {
        return left;
    }
    let bounded = wave.terms.max_concurrency.filter(|_| wave.terms.ignores_away);
    bounded.map_or(count.missing, |most| left.saturating_add(most.saturating_sub(1)))
}

fn sentence(count: &Count, wave_size: u32, threshold: u32, is_reachable: bool, is_over: bool) -> String {
    let Count { results: Results { failed, .. }, at_risk, size, .. } = count;
    let of = if *size > wave_size { "targets of all waves so far" } else { "targets" };
    let judged = format!("{failed} of {size} {of} failed, {at_risk} are at risk");
    if is_over {
        return format!("{judged}; the rollout admits no more targets");
    }
    if !is_reachable {
        return format!(
            "{judged}; the targets that are left cannot reach the fail threshold {}",
            count.threshold
        );
    }
    match threshold {
        1 => format!("{judged}; the rollout halts at the first failure"),
        _ => format!("{judged}; the rollout halts at {threshold} failures"),
    }
}

#[cfg(test)]
#[path = "margin_tests.rs"]
mod tests;
