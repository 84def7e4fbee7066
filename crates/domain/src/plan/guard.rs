//! Thresholds for waves without one, which the command line adds to a request.

use crate::{BasisPoints, threshold::Threshold};

/// Largest share of failures that a guarded wave tolerates.
const MAX_SHARE: BasisPoints = match BasisPoints::new(500) {
    Some(share) => share,
    None => unreachable!(),
};
/// Number of results from which on a guarded wave is judged.
pub const MIN_RESULTS: u32 = 20;

/// Returns the thresholds for the waves that have none, by number of the wave. `waves` are the
/// planned sizes and thresholds, `of_task` is the threshold of the whole task.
///
/// Each is the smaller of 5 % and the failure rate that the first of several waves tolerates, and
/// speaks from 20 results on, or at the end of a smaller wave. A threshold of the task covers every
/// wave. A single wave of at most 20 desktops gets none: it would have started them all.
pub fn thresholds(waves: &[(u32, Option<Threshold>)], of_task: Option<Threshold>) -> Vec<(u16, Threshold)> {
    if of_task.is_some() || matches!(waves, [] | [(..=MIN_RESULTS, _)]) {
        return Vec::new();
    }
    let canary = match waves {
        [(size, Some(threshold)), _, ..] => rate(*threshold, *size),
        _ => None,
    };
    let share = canary.map_or(MAX_SHARE, |canary| canary.min(MAX_SHARE));
    let guarded = |(wave, &(size, threshold)): (u16, &(u32, Option<Threshold>))| {
        threshold.is_none().then(|| (wave, Threshold::Percent { share, min_results: MIN_RESULTS.min(size) }))
    };
    (1..).zip(waves).filter_map(guarded).collect()
}

/// Returns the size of the first wave of a plan that has no canary: it is larger than `most`, and
/// at least half of all targets.
pub fn first_wave_without_canary(waves: &[u32], most: u32) -> Option<u32> {
    let all: u64 = waves.iter().copied().map(u64::from).sum();
    waves.first().copied().filter(|&first| first > most && 2 * u64::from(first) >= all)
}

/// Returns the share of failures that reaches a threshold in a wave of `size` targets. A share
/// below 0.01 % counts as 0.01 %.
fn rate(threshold: Threshold, size: u32) -> Option<BasisPoints> {
    match threshold {
        Threshold::Percent { share, .. } => Some(share),
        Threshold::Count(count) => {
            let share = u64::from(count) * 10_000 / u64::from(size.max(1));
            BasisPoints::new(u32::try_from(share).ok()?.max(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(percent: f64, min_results: u32) -> Threshold {
        Threshold::Percent { share: BasisPoints::from_percent(percent).unwrap(), min_results }
    }

    fn count(count: u32) -> Option<Threshold> {
        Some(Threshold::Count(count))
    }

    #[test]
    fn wave_after_a_canary_tolerates_the_smaller_rate() {
        for (first, expected) in [
            ((5, count(2)), 5.0),
            ((100, count(1)), 1.0),
            ((1_000_000, count(1)), 0.01),
            ((200, Some(percent(2.5, 50))), 2.5),
            ((5, count(9)), 5.0),
            ((5, None), 5.0),
        ] {
            let guarded = thresholds(&[first, (19_995, None)], None);
            assert_eq!(guarded.last(), Some(&(2, percent(expected, 20))), "{first:?}");
        }
    }

    #[test]
    fn explicit_thresholds_stay_and_small_waves_wait_for_their_end() {
        let waves = [(5, None), (10, count(3)), (7, None), (978, None)];
        let expected = vec![(1, percent(5.0, 5)), (3, percent(5.0, 7)), (4, percent(5.0, 20))];
        assert_eq!(thresholds(&waves, None), expected);
        assert_eq!(thresholds(&waves, count(50)), [], "the threshold of the task covers all");
    }

    #[test]
    fn most_of_a_fleet_in_the_first_wave_is_no_canary() {
        assert_eq!(first_wave_without_canary(&[21], 20), Some(21));
        assert_eq!(first_wave_without_canary(&[20], 20), None);
        assert_eq!(first_wave_without_canary(&[19_999, 1], 20), Some(19_999));
        assert_eq!(first_wave_without_canary(&[200, 19_800], 20), None);
        assert_eq!(first_wave_without_canary(&[], 0), None);
    }

    #[test]
    fn single_wave_is_guarded_above_its_minimum_of_results() {
        assert_eq!(thresholds(&[(20, None)], None), []);
        assert_eq!(thresholds(&[(21, None)], None), [(1, percent(5.0, 20))]);
        assert_eq!(thresholds(&[(21, count(1))], None), []);
        assert_eq!(thresholds(&[], None), []);
    }
}
