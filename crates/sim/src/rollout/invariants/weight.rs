//! The weight of an outcome and the reach of a threshold, written a second time: invariants that
//! asked the rules would not notice a wrong rule.

use domain::{outcome::Outcome, policy::Weight, threshold::Threshold};

use super::Invariants;

impl Invariants {
    /// Whether an end counts as a failure, and whether it halts at once.
    pub(super) fn weight(&self, outcome: Outcome, exit_code: Option<i32>) -> Option<bool> {
        let of_code = exit_code.filter(|_| outcome == Outcome::Failed);
        let asked = of_code.and_then(|code| self.policy.exit_codes.get(&code));
        match asked.or_else(|| self.policy.outcomes.get(&outcome)) {
            Some(Weight::Ignore) => None,
            Some(Weight::Count) => Some(false),
            Some(Weight::Halt) => Some(true),
            None => match outcome {
                Outcome::Success | Outcome::Stopped | Outcome::Skipped => None,
                Outcome::Failed
                | Outcome::Timeout
                | Outcome::Undelivered
                | Outcome::Rejected
                | Outcome::Unknown
                | Outcome::NotReturned => Some(false),
            },
        }
    }
}

/// Reached means at least, everywhere. A wave that `is_closed` is judged although `min_results` are
/// not in.
pub(super) fn is_reached(threshold: Option<Threshold>, failed: u32, ended: u32, is_closed: bool) -> bool {
    match threshold {
        None => false,
        Some(Threshold::Count(count)) => failed >= count,
        Some(Threshold::Percent { share: least, min_results }) => {
            let share = f64::from(failed) * 10_000.0;
            failed > 0
                && (is_closed || ended >= min_results)
                && share >= f64::from(least.get()) * f64::from(ended)
        }
    }
}
