//! What if: a task's recorded results, read again under other waves and another policy. A by-product of pure rules.

use crate::{
    Timestamp,
    outcome::Outcome,
    plan::PlannedWave,
    policy::{RolloutPolicy, Weight},
    tally::Tally,
    wave::{OtherWaves, Step, WaveState, WaveStatus, WaveTerms, next_step},
};

/// How a target ended, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Its place in the plan.
    pub ordinal: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Of the script that decided it.
    pub exit_code: Option<i32>,
    /// When.
    pub ended_at: Timestamp,
}

/// Where the rollout would have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Halted in this wave.
    Halted,
    /// All waves would have run.
    Completed,
    /// Targets of this wave were never run: nobody knows.
    Undecided,
}

/// A wave of the replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedWave {
    /// From 1.
    pub wave: u16,
    /// Targets.
    pub size: u32,
    /// Results that were read of it.
    pub finished: u32,
    /// Those among them that count as failures.
    pub failed: u32,
    /// What the gate would have said.
    pub verdict: String,
}

/// What would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIf {
    /// How it would have ended.
    pub ending: Ending,
    /// The waves up to there.
    pub waves: Vec<ReplayedWave>,
    /// Targets that would have been started at most: those of the waves up to there.
    pub started: u32,
    /// Failures among the results that were read.
    pub failed: u32,
    /// When the result that halts it came in, in the task as it was.
    pub halted_at: Option<Timestamp>,
}

/// Reads results in the order in which they ended, wave by wave. They come in the order of the plan.
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
            // No target waits, and none of an earlier wave is missing: the last wave is read as any other.
            is_last: false,
            others,
            terms,
        };
        answer.started += planned.size;
        let (verdict, ending) = read(&mut state, policy, &own, &mut answer.halted_at);
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

/// A result as the policy has it: an exit code other than 0 that was a success need not be one. The other way round the policy
/// weighs it as none.
fn under(policy: &RolloutPolicy, result: &Finished) -> Outcome {
    let is_success = |code: i32| code == 0 || policy.success_exit_codes.contains(&code);
    match (result.outcome, result.exit_code) {
        (Outcome::Success, Some(code)) if !is_success(code) => Outcome::Failed,
        (outcome, _) => outcome,
    }
}

/// Reads one wave's results until the gate halts it; says how the whole ends, if it ends here.
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
            Step::AdmissionBlock(_) | Step::FinishCutShort(_) => {}
        }
    }
    let missing = state.missing();
    (format!("{missing} of {} targets never ran: nobody knows", state.size), Some(Ending::Undecided))
}

#[cfg(test)]
#[path = "what_if_tests.rs"]
mod tests;
