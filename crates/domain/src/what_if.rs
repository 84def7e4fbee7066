//! What if: a task's recorded results, read again under other waves and another policy. A by-product of pure rules.

use crate::{
    Timestamp,
    outcome::Outcome,
    plan::PlannedWave,
    policy::{RolloutPolicy, Weight},
    tally::Tally,
    wave::{Others, Step, WaveState, WaveStatus, WaveTerms, next_step},
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
    let terms = WaveTerms { quorum: None, ..WaveTerms::new(policy, max_concurrency) };
    let mut answer =
        WhatIf { ending: Ending::Completed, waves: Vec::new(), started: 0, failed: 0, halted_at: None };
    let mut others = Others::default();
    for (place, planned) in waves.iter().enumerate() {
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
            is_last: place + 1 == waves.len(),
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

/// A result as the policy has it: an exit code other than 0 that was a success need not be one.
fn under(policy: &RolloutPolicy, result: &Finished) -> Outcome {
    let is_success = |code: i32| code == 0 || policy.success_exit_codes.contains(&code);
    match (result.outcome, result.exit_code) {
        (Outcome::Success, Some(code)) if !is_success(code) => Outcome::Failed,
        (Outcome::Failed, Some(code)) if is_success(code) => Outcome::Success,
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
            Step::Hold(_) | Step::FinishCutShort(_) => {}
        }
    }
    let missing = state.missing();
    (format!("{missing} of {} targets never ran: nobody knows", state.size), Some(Ending::Undecided))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::threshold::Threshold;

    fn waves(sizes: &[(u32, Option<u32>)]) -> Vec<PlannedWave> {
        let mut first_ordinal = 0;
        (1..)
            .zip(sizes)
            .map(|(wave, &(size, count))| {
                let fail_threshold = count.map(Threshold::Count);
                let planned = PlannedWave { wave, first_ordinal, size, fail_threshold };
                first_ordinal += size;
                planned
            })
            .collect()
    }

    fn results(outcomes: &[Outcome]) -> Vec<Finished> {
        (0..)
            .zip(outcomes)
            .map(|(ordinal, &outcome)| Finished {
                ordinal,
                outcome,
                exit_code: (outcome == Failed).then_some(3),
                ended_at: Timestamp::UNIX_EPOCH + TimeDelta::seconds(i64::from(ordinal)),
            })
            .collect()
    }

    use Outcome::{Failed, Success};

    #[test]
    fn a_stricter_policy_would_have_stopped_earlier() {
        let recorded = results(&[Success, Failed, Success, Failed, Failed, Success]);
        let policy = RolloutPolicy::default();
        let as_it_was = replay(&waves(&[(2, Some(2)), (4, None)]), &policy, None, &recorded);
        assert_eq!((as_it_was.ending, as_it_was.started, as_it_was.failed), (Ending::Completed, 6, 3));
        let stricter = replay(&waves(&[(2, Some(1)), (4, None)]), &policy, None, &recorded);
        assert_eq!((stricter.ending, stricter.started, stricter.failed), (Ending::Halted, 2, 1));
        assert_eq!(stricter.halted_at, Some(recorded[1].ended_at));
        let task = RolloutPolicy { fail_threshold: Some(Threshold::Count(3)), ..policy.clone() };
        let over_all = replay(&waves(&[(2, None), (4, None)]), &task, None, &recorded);
        assert_eq!((over_all.ending, over_all.waves.len(), over_all.failed), (Ending::Halted, 2, 3));
        let lenient = RolloutPolicy { exit_codes: [(3, Weight::Ignore)].into(), ..policy };
        let ignored = replay(&waves(&[(2, Some(1)), (4, Some(1))]), &lenient, None, &recorded);
        assert_eq!((ignored.ending, ignored.failed), (Ending::Completed, 0));
        let halting = RolloutPolicy { exit_codes: [(3, Weight::Halt)].into(), ..RolloutPolicy::default() };
        assert_eq!(replay(&waves(&[(6, None)]), &halting, None, &recorded).ending, Ending::Halted);
    }

    #[test]
    fn an_exit_code_is_a_success_where_the_policy_read_says_so() {
        let mut recorded = results(&[Success, Failed]);
        recorded[0].exit_code = Some(3010);
        let one_wave = waves(&[(2, Some(1))]);
        let plain = replay(&one_wave, &RolloutPolicy::default(), None, &recorded);
        assert_eq!((plain.ending, plain.failed, plain.waves[0].finished), (Ending::Halted, 1, 1));
        let lenient = RolloutPolicy { success_exit_codes: vec![3, 3010], ..RolloutPolicy::default() };
        let read = replay(&one_wave, &lenient, None, &recorded);
        assert_eq!((read.ending, read.failed), (Ending::Completed, 0));
    }

    #[test]
    fn what_never_ran_is_not_guessed() {
        let halted = results(&[Success, Failed]);
        let more = replay(&waves(&[(2, None), (4, None)]), &RolloutPolicy::default(), None, &halted);
        assert_eq!((more.ending, more.waves.len()), (Ending::Undecided, 2));
        assert_eq!(more.waves[1].verdict, "4 of 4 targets never ran: nobody knows");
        assert_eq!(more.halted_at, None);
    }

    #[test]
    fn results_are_read_in_the_order_of_time_not_of_the_plan() {
        let mut recorded = results(&[Failed, Failed, Success, Success]);
        recorded[0].ended_at += TimeDelta::hours(1);
        let answer = replay(&waves(&[(4, Some(2))]), &RolloutPolicy::default(), None, &recorded);
        assert_eq!((answer.ending, answer.halted_at), (Ending::Halted, Some(recorded[0].ended_at)));
        assert_eq!(answer.waves[0].finished, 4);
    }
}
