//! A seeded simulator of one rollout: the rules of `domain`, driven by random admissions, results, duplicates and
//! lost desktops, with the promises checked after every step.

use domain::{
    outcome::Outcome,
    plan::PlannedWave,
    tally::Tally,
    task::TaskStatus,
    threshold::Threshold,
    wave::{Others, Step, WaveState, WaveStatus, WaveTerms, next_step},
};
use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Decides everything.
    pub seed: u64,
    /// Desktops.
    pub targets: u32,
    /// Size of the gray wave and its threshold.
    pub gray: Option<(u32, u32)>,
    /// Of a hundred scripts, how many fail in some way.
    pub failures_in_100: u32,
    /// The step at which a person stops it, if it lasts so long.
    pub stop_at: Option<u32>,
    /// No more may ever fail than the threshold.
    pub strict: bool,
}

/// How a simulated rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The task.
    pub status: TaskStatus,
    /// Each target's outcome; `None` for those that never started.
    pub outcomes: Vec<Option<Outcome>>,
    /// Steps it took.
    pub steps: u32,
}

struct Simulation {
    rng: ChaCha8Rng,
    scenario: Scenario,
    waves: Vec<(PlannedWave, WaveState)>,
    outcomes: Vec<Option<Outcome>>,
    in_flight: Vec<u32>,
    halted: bool,
    /// Targets that had been admitted when it was stopped.
    admitted_at_stop: Option<u32>,
}

/// Runs a scenario to its end, or says which promise was broken at which step.
pub fn run(scenario: Scenario) -> Result<Ended, String> {
    let mut simulation = Simulation::new(scenario);
    // Every target is admitted once and ends once; duplicates are bounded by the dice.
    let most_steps = scenario.targets.saturating_mul(40).saturating_add(1_000);
    for step in 0..most_steps {
        let ended = if scenario.stop_at == Some(step) { simulation.stop() } else { simulation.step() };
        if let Some(status) = ended {
            simulation.check().map_err(|broken| format!("{scenario:?}, at the end: {broken}"))?;
            return Ok(Ended { status, outcomes: simulation.outcomes, steps: step });
        }
        simulation.check().map_err(|broken| format!("{scenario:?}, step {step}: {broken}"))?;
    }
    Err(format!("{scenario:?}: it never ends"))
}

impl Simulation {
    fn new(scenario: Scenario) -> Self {
        let gray = scenario.gray.map_or(0, |(count, _)| count.min(scenario.targets));
        let gray_threshold = scenario.gray.map(|(_, threshold)| Threshold::Count(threshold));
        let sizes = [(gray, gray_threshold), (scenario.targets - gray, None)];
        let mut waves = Vec::new();
        let mut first_ordinal = 0;
        for (size, fail_threshold) in sizes.into_iter().filter(|(size, _)| *size > 0) {
            let wave = u16::try_from(waves.len() + 1).unwrap_or(u16::MAX);
            let is_last = first_ordinal + size == scenario.targets;
            let status = if wave == 1 { WaveStatus::Open } else { WaveStatus::Pending };
            let state = WaveState {
                status,
                size,
                admitted: 0,
                waiting: 0,
                tally: Tally::default(),
                failed: 0,
                halting: 0,
                fail_threshold,
                is_last,
                others: Others::default(),
                terms: WaveTerms { strict: scenario.strict, ..WaveTerms::default() },
            };
            waves.push((PlannedWave { wave, first_ordinal, size, fail_threshold }, state));
            first_ordinal += size;
        }
        Self {
            rng: ChaCha8Rng::seed_from_u64(scenario.seed),
            scenario,
            waves,
            outcomes: vec![None; scenario.targets as usize],
            in_flight: Vec::new(),
            halted: false,
            admitted_at_stop: None,
        }
    }

    /// One thing happens; `Some` when the task ended.
    fn step(&mut self) -> Option<TaskStatus> {
        match self.rng.random_range(0..4) {
            0 => self.admit(),
            1 => self.duplicate(),
            _ => return self.result(),
        }
        None
    }

    /// A person stops it: what is in flight still ends, nothing more is admitted.
    fn stop(&mut self) -> Option<TaskStatus> {
        let (_, state) = self.waves.iter_mut().find(|(_, state)| state.status == WaveStatus::Open)?;
        state.status = WaveStatus::Stopped;
        self.admitted_at_stop = Some(self.admitted());
        self.settle()
    }

    fn admitted(&self) -> u32 {
        self.waves.iter().map(|(_, state)| state.admitted).sum()
    }

    /// A cut of a random size.
    fn admit(&mut self) {
        let most = self.rng.random_range(1..=50);
        if let Some((plan, state)) = self.waves.iter_mut().find(|(_, state)| state.admission() > 0) {
            let number = state.admission().min(most);
            let first = plan.first_ordinal + state.admitted;
            self.in_flight.extend(first..first + number);
            state.admitted += number;
        }
    }

    /// A result that was reported before comes again: it must not be counted.
    fn duplicate(&mut self) {
        let ordinals: Vec<usize> =
            (0..self.outcomes.len()).filter(|&place| self.outcomes[place].is_some()).collect();
        if let Some(&ordinal) = ordinals.choose(&mut self.rng) {
            let again = self.outcome();
            let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
            self.store(ordinal, again);
        }
    }

    /// A target in flight ends.
    fn result(&mut self) -> Option<TaskStatus> {
        if self.in_flight.is_empty() {
            return None;
        }
        let place = self.rng.random_range(0..self.in_flight.len());
        let ordinal = self.in_flight.swap_remove(place);
        let outcome = self.outcome();
        self.store(ordinal, outcome);
        self.settle()
    }

    fn outcome(&mut self) -> Outcome {
        const FAILURES: [Outcome; 5] =
            [Outcome::Failed, Outcome::Timeout, Outcome::Undelivered, Outcome::Rejected, Outcome::Unknown];
        if self.rng.random_range(0..100) < self.scenario.failures_in_100 {
            FAILURES.choose(&mut self.rng).copied().unwrap_or(Outcome::Failed)
        } else {
            Outcome::Success
        }
    }

    /// As the database does: the first word counts.
    fn store(&mut self, ordinal: u32, outcome: Outcome) {
        let slot = &mut self.outcomes[ordinal as usize];
        if slot.is_some() {
            return;
        }
        *slot = Some(outcome);
        for (plan, state) in &mut self.waves {
            if (plan.first_ordinal..plan.first_ordinal + plan.size).contains(&ordinal) {
                state.tally.add(outcome);
                state.failed += u32::from(outcome.counts_as_failure());
            }
        }
    }

    fn settle(&mut self) -> Option<TaskStatus> {
        for place in 0..self.waves.len() {
            match next_step(&self.waves[place].1) {
                Step::Hold(_) => {}
                Step::Halt(_) => {
                    self.halted = true;
                    self.waves[place].1.status = WaveStatus::Halted;
                    return self.settle();
                }
                Step::Close(_) => {
                    self.waves[place].1.status = WaveStatus::Closed;
                    self.waves[place + 1].1.status = WaveStatus::Open;
                }
                Step::Finish(_) => {
                    let mut all = Tally::default();
                    self.waves.iter().for_each(|(_, state)| all.merge(&state.tally));
                    return Some(TaskStatus::of_finished(&all));
                }
                Step::FinishCutShort(status) => return Some(status),
            }
        }
        None
    }

    /// The promises, as far as the rules alone can keep them.
    fn check(&self) -> Result<(), String> {
        if let Some(then) = self.admitted_at_stop
            && self.admitted() != then
        {
            return Err("something was admitted after the stop".to_owned());
        }
        let mut earlier_open = false;
        for (plan, state) in &self.waves {
            let members = plan.first_ordinal as usize..(plan.first_ordinal + plan.size) as usize;
            let counted: Tally = self.outcomes[members].iter().flatten().copied().collect();
            if counted != state.tally {
                return Err(format!("the tally of wave {} is not its targets' outcomes", plan.wave));
            }
            if state.admitted > 0 && earlier_open {
                return Err(format!("wave {} began before the one before it was closed", plan.wave));
            }
            if let Some(threshold) = state.fail_threshold
                && threshold.is_reached(state.failed, state.tally.finished())
                && state.status == WaveStatus::Closed
            {
                return Err(format!("wave {} was closed although its threshold was reached", plan.wave));
            }
            if let Some(Threshold::Count(count)) = state.fail_threshold
                && self.scenario.strict
                && state.failed + state.in_flight() > count
            {
                return Err(format!("more than {count} of wave {} may fail", plan.wave));
            }
            earlier_open |= state.status != WaveStatus::Closed;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn every_rollout_keeps_the_promises_and_ends(
            seed in any::<u64>(),
            targets in 1u32..300,
            gray in prop::option::of((2u32..40, 1u32..10)),
            failures_in_100 in 0u32..=100,
            stop_at in prop::option::of(0u32..400),
            strict in any::<bool>(),
        ) {
            let gray = gray.map(|(count, threshold)| (count, threshold.min(count - 1)));
            let scenario = Scenario { seed, targets, gray, failures_in_100, stop_at, strict };
            let ended = run(scenario).map_err(TestCaseError::fail)?;
            let started = ended.outcomes.iter().flatten().count();
            match ended.status {
                TaskStatus::Halted => prop_assert!(started <= gray.unwrap_or_default().0 as usize),
                TaskStatus::Success => prop_assert!(ended.outcomes.iter().all(|outcome| *outcome == Some(Outcome::Success))),
                TaskStatus::Stopped => prop_assert!(stop_at.is_some()),
                _ => prop_assert_eq!(started, targets as usize),
            }
            prop_assert_eq!(run(scenario).unwrap(), ended, "a seed is a story");
        }
    }
}
