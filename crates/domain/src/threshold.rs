//! Failure thresholds. A threshold is reached at `>=`, everywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BasisPoints, Error, Reason};

/// Failures at which a rollout halts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// Number of targets.
    Count(u32),
    /// Percentage of the results so far.
    Percent {
        /// Failures that reach the threshold, as a share of the results so far.
        share: BasisPoints,
        /// Number of results from which on the percentage is judged. A wave that closes with fewer
        /// is judged on those.
        min_results: u32,
    },
}

impl Threshold {
    /// Creates a threshold from a client's fields: exactly one of `count` and `percent`.
    pub fn new(count: Option<i64>, percent: Option<f64>, min_results: Option<i64>) -> Result<Self, Error> {
        match (count, percent, min_results) {
            (Some(count), None, None) => match u32::try_from(count) {
                Ok(count) if count > 0 => Ok(Self::Count(count)),
                _ => Err(Error::out_of_range("count", format!("{count} is out of range: at least 1"))),
            },
            (None, Some(percent), min_results) => {
                let share = BasisPoints::from_percent(percent).map_err(|error| error.within("percent"))?;
                let min_results = min_results.unwrap_or(1);
                let min_results =
                    u32::try_from(min_results).ok().filter(|number| *number > 0).ok_or_else(|| {
                        let message = format!("{min_results} is out of range: at least 1");
                        Error::out_of_range("min_results", message)
                    })?;
                Ok(Self::Percent { share, min_results })
            }
            (Some(_), None, Some(_)) => {
                let message = "only a percentage waits for results: leave it out, or give a percentage";
                Err(Error::field(Reason::FieldsExclusive, "min_results", message))
            }
            (None, None, _) => Err(Error::unreadable("a count or a percentage is required")),
            (Some(_), Some(_), _) => {
                Err(Error::new(Reason::FieldsExclusive, "a count and a percentage exclude each other"))
            }
        }
    }

    /// Returns whether this number of failures reaches the threshold while more results may arrive.
    pub const fn is_reached(self, failed: u32, finished: u32) -> bool {
        self.has_enough(finished) && self.is_reached_at_close(failed, finished)
    }

    /// Returns whether this number of failures reaches the threshold when no further results
    /// arrive.
    ///
    /// `min_results` defers the judgement of a percentage. A wave that closes earlier is judged on
    /// its results; otherwise a canary wave with 100 % failures would open the next wave.
    pub const fn is_reached_at_close(self, failed: u32, finished: u32) -> bool {
        match self {
            Self::Count(count) => failed >= count,
            // A rollout without failures never halts.
            Self::Percent { share, .. } => failed > 0 && share.is_reached(failed, finished),
        }
    }

    /// Returns whether this number of results suffices to judge.
    const fn has_enough(self, finished: u32) -> bool {
        match self {
            Self::Count(_) => true,
            Self::Percent { min_results, .. } => finished >= min_results,
        }
    }

    /// Returns the threshold for at most `size` targets: `min_results` is lowered to `size`, so
    /// that it can be met.
    #[must_use]
    pub fn with_min_results_within(self, size: u32) -> Self {
        match self {
            Self::Count(_) => self,
            Self::Percent { share, min_results } => {
                Self::Percent { share, min_results: min_results.min(size) }
            }
        }
    }

    /// Returns the number of results that a percentage needs; `None` for a count.
    pub const fn min_results(self) -> Option<u32> {
        match self {
            Self::Count(_) => None,
            Self::Percent { min_results, .. } => Some(min_results),
        }
    }

    /// Returns the number of failures that reaches the threshold when `size` targets have finished.
    pub fn failures_of(self, size: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent { share, .. } => share.share_of(size).max(1),
        }
    }

    /// Returns whether failures of all of `size` targets reach the threshold.
    pub const fn is_reachable_in(self, size: u32) -> bool {
        match self {
            Self::Count(count) => count <= size,
            Self::Percent { .. } => true,
        }
    }

    /// Returns the number of failures that reaches the threshold; `None` for a percentage.
    pub const fn count(self) -> Option<u32> {
        match self {
            Self::Count(count) => Some(count),
            Self::Percent { .. } => None,
        }
    }
}

impl fmt::Display for Threshold {
    /// Writes `2`, `2.5%`, or `2.5%/50` if the percentage needs 50 results.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent { share, min_results: ..=1 } => write!(f, "{share}%"),
            Self::Percent { share, min_results } => write!(f, "{share}%/{min_results}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reached_is_at_least_and_a_percentage_waits_for_its_results() {
        let percent = |percent: f64, min: i64| Threshold::new(None, Some(percent), Some(min)).unwrap();
        for (threshold, failed, finished, reached) in [
            (Threshold::Count(2), 1, 100, false),
            (Threshold::Count(2), 2, 2, true),
            (Threshold::Count(2), 3, 3, true),
            (percent(2.0, 50), 1, 49, false),
            (percent(2.0, 50), 1, 50, true),
            (percent(2.0, 50), 1, 51, false),
            (percent(2.0, 50), 2, 51, true),
            (percent(0.01, 1), 0, 10, false),
            (percent(100.0, 1), 9, 10, false),
            (percent(100.0, 1), 10, 10, true),
            (Threshold::Percent { share: BasisPoints::new(1).unwrap(), min_results: 0 }, 0, 0, false),
            (percent(33.33, 1), 1, 3, true),
            (percent(33.34, 1), 1, 3, false),
        ] {
            assert_eq!(threshold.is_reached(failed, finished), reached, "{threshold} {failed}/{finished}");
        }
    }

    #[test]
    fn close_below_min_results_judges_what_there_is() {
        let percent = Threshold::new(None, Some(20.0), Some(10)).unwrap();
        for (failed, finished, reached) in
            [(0, 1, false), (1, 1, true), (1, 5, true), (1, 6, false), (0, 0, false)]
        {
            assert!(!percent.is_reached(failed, finished));
            assert_eq!(percent.is_reached_at_close(failed, finished), reached, "{failed}/{finished}");
        }
    }

    #[test]
    fn failures_are_the_fewest_that_reach_the_threshold() {
        let five = Threshold::new(None, Some(5.0), Some(20)).unwrap();
        for size in [1, 19, 20, 21, 399, 400, 401, 19_995] {
            let failures = five.failures_of(size);
            assert!(five.is_reached_at_close(failures, size), "{size}");
            assert!(!five.is_reached_at_close(failures - 1, size), "{size}");
        }
        assert_eq!((five.failures_of(19_995), Threshold::Count(3).failures_of(2)), (1_000, 3));
        assert!(five.is_reachable_in(1) && !Threshold::Count(3).is_reachable_in(2));
    }

    #[test]
    fn text_has_min_results_where_they_matter() {
        let percent = |min_results| Threshold::new(None, Some(2.5), min_results).unwrap().to_string();
        assert_eq!([percent(None), percent(Some(1)), percent(Some(50))], ["2.5%", "2.5%", "2.5%/50"]);
        assert_eq!(Threshold::Count(2).to_string(), "2");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (count, percent, min) in [
            (None, None, None),
            (Some(1), Some(1.0), None),
            (Some(0), None, None),
            (Some(-1), None, None),
            (Some(1 << 40), None, None),
            (Some(1), None, Some(5)),
            (None, Some(0.0), None),
            (None, Some(100.01), None),
            (None, Some(1.234), None),
            (None, Some(f64::NAN), None),
            (None, Some(5.0), Some(0)),
        ] {
            assert!(Threshold::new(count, percent, min).is_err(), "{count:?} {percent:?} {min:?}");
        }
    }

    #[test]
    fn it_is_written_as_it_was_given() {
        let percent = |percent| Threshold::new(None, Some(percent), None).unwrap().to_string();
        assert_eq!(
            [percent(2.0), percent(0.5), percent(12.25), percent(7.05)],
            ["2%", "0.5%", "12.25%", "7.05%"]
        );
        assert_eq!(Threshold::Count(3).to_string(), "3");
    }
}
