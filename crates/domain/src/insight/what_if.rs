//! What-if: replays a task's recorded results under other waves and another policy, with the same
//! pure rules.

use crate::{
    Timestamp,
    outcome::Outcome,
    plan::PlannedWave,
    policy::{RolloutPolicy, Weight},
    tally::Tally,
    wave::{OtherWaves, Step, WaveState, WaveStatus, WaveTerms, next_step},
};

/// Result of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Outcome of the target.
    pub outcome: Outcome,
    /// Exit code of the script that decided the outcome; `None` if the agent killed it,
    /// or it never started.
    pub exit_code: Option<i32>,
    /// Time at which the target ended.
    pub ended_at: Timestamp,
}

/// End of the replayed rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The gate would have halted in this wave.
    Halted,
    /// All waves would have run.
    Completed,
    /// Too few targets of this wave succeeded: the next one would have waited for a person.
    Held,
    /// Undecided: some targets of this wave never ran.
    Undecided,
}

/// A wave of the replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedWave {
    /// Number of the wave, from 1.
    pub wave: u16,
    /// Number of targets.
    pub size: u32,
    /// Number of results that were replayed.
    pub finished: u32,
    /// Number of replayed results that count as failures.
    pub failed: u32,
    /// Reason of the gate's verdict.
    pub verdict: String,
}

/// Result of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIf {
    /// End of the replayed rollout.
    pub ending: Ending,
    /// Waves up to the end.
    pub waves: Vec<ReplayedWave>,
    /// Maximum number of started targets: those of the waves up to the end.
    pub started: u32,
    /// Number of failures among the replayed results.
    pub failed: u32,
    /// Original time of the result that would have halted the rollout.
    pub halted_at: Option<Timestamp>,
}

/// Replays results wave by wave, in the order of their end times. `results` are in the order of the
/// plan.
pub fn replay(
    waves: &[PlannedWave],
    policy: &RolloutPolicy,
    max_concurrency: Option<u32>,
    results: &[Finished],
) -> WhatIf {
    let terms = WaveTerms::new(policy, max_concurrency);
    let mut answer =
        WhatIf { ending: Ending::Completed, waves: Vec::new(), started: 0, failed: 0, halted_at: None };
    let mut others = OtherWaves::default();
    let last = waves.last().map_or(0, |planned| planned.wave);
    for planned in waves {
        let members = planned.first_ordinal..planned.first_ordinal + planned.size;
        let place_of = |ordinal: u32| results.partition_point(|result| result.ordinal < ordinal);
        let mut own: Vec<&Finished> =
            results[place_of(members.start)..place_of(members.end)].iter().collect();
        own.sort_by_key(|result| (result.ended_at, result.ordinal));
        let mut state = WaveState {
            status: WaveStatus::Open,
            size: planned.size,
            admitted: planned.size,
            waiting: 0,
            tally: Tally::default(),
            failed: 0,
            halting: 0,
            fail_threshold: planned.fail_threshold,
            // No target waits and no earlier wave has missing targets, so the last wave is treated
            // like any other.
            is_last: false,
            others,
            terms,
        };
        answer.started += planned.size;
        let (mut verdict, mut ending) = read(&mut state, policy, &own, &mut answer.halted_at);
        if ending.is_none()
            && planned.wave != last
            && let Some(reason) = state.missing_evidence()
        {
            verdict = format!("{verdict}; {reason}");
            ending = Some(Ending::Held);
        }
        answer.failed += state.failed;
        answer.waves.push(ReplayedWave {
            wave: planned.wave,
            size: planned.size,
            finished: state.tally.finished(),
            failed: state.failed,
            verdict,
        });
        if let Some(ending) = ending {
            answer.ending = ending;
            break;
        }
        others = others.and(&state);
    }
    answer
}

/// Returns the outcome under the replayed policy. A non-zero exit code that was a success may be a
/// failure now. In the opposite direction, the policy's weight ignores the failure.
fn under(policy: &RolloutPolicy, result: &Finished) -> Outcome {
    let is_success = |code: i32| code == 0 || policy.success_exit_codes.contains(&code);
    match (result.outcome, result.exit_code) {
        (Outcome::Success, Some(code)) if !is_success(code) => Outcome::Failed,
        (outcome, _) => outcome,
    }
}

/// Replays one wave's results until the gate halts it. Returns the verdict, and the ending if the
/// rollout ends here.
fn read(
    state: &mut WaveState,
    policy: &RolloutPolicy,
    results: &[&Finished],
    halted_at: &mut Option<Timestamp>,
) -> (String, Option<Ending>) {
    for result in results {
        let outcome = under(policy, result);
        state.tally.add(outcome);
        match policy.weigh(outcome, result.exit_code) {
            Weight::Ignore => {}
            Weight::Count => state.failed += 1,
            Weight::Halt => {
                state.failed += 1;
                state.halting += 1;
            }
        }
        match next_step(state) {
            Step::Halt(reason) => {
                *halted_at = Some(result.ended_at);
                return (reason, Some(Ending::Halted));
            }
            Step::Close(reason) | Step::Finish(reason) => return (reason, None),
            Step::Hold(_) | Step::FinishCutShort(_) => {}
        }
    }
    let missing = state.missing();
    (format!("{missing} of {} targets never ran: undecided", state.size), Some(Ending::Undecided))
}

#[cfg(test)]
#[path = "what_if_tests.rs"]
mod tests;
