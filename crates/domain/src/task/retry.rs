//! Retry: a new task over the targets that did not succeed.
//!
//! The unit is one script on one desktop: successful scripts do not run again. Scripts of a target
//! run in order and stop at the first that does not succeed. The remainder of a target is therefore
//! a suffix of its scripts.

use crate::{Error, Reason, ids::DesktopId, record::RecordStatus, task::TaskStatus, threshold::Threshold};

/// Maximum number of originals that an order names. Earlier ones were ended for a retry in between.
pub const MAX_ORIGINALS: i32 = 64;

/// A target of the original task that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// Desktop of the target.
    pub desktop_id: DesktopId,
    /// First script to run again.
    pub first_script: u16,
}

/// Checks that a whole task may be retried.
pub fn check_task(status: TaskStatus) -> Result<(), Error> {
    if status.is_ended() {
        return Ok(());
    }
    Err(Error::new(
        Reason::TaskNotEnded,
        "the task has not ended: wait for its end or stop it, then retry it",
    ))
}

/// Checks that one record may be retried. A derived record ends with its task, because its target
/// may still run until then.
pub fn check_record(status: RecordStatus, is_stored: bool, task: TaskStatus) -> Result<(), Error> {
    use crate::outcome::Outcome;
    match status {
        RecordStatus::Ended(Outcome::Success) => {
            Err(Error::new(Reason::NothingToRetry, "the record succeeded"))
        }
        RecordStatus::Ended(_) if is_stored || task.is_ended() => Ok(()),
        RecordStatus::Ended(_) | RecordStatus::Waiting | RecordStatus::Running => Err(Error::new(
            Reason::TaskNotEnded,
            "the record has not ended: wait for its end or stop it, then retry it",
        )),
    }
}

/// Returns the waves of a retry: those of the original task, filled with the remainder in order. A
/// rollout that a gate halted must not restart on all targets together.
///
/// A count threshold shrinks with its wave, to less than the wave's size, as for any gray wave. In
/// a wave of a single target, its failure halts the rest.
pub fn waves(old: &[(u32, Option<Threshold>)], remainder: u32) -> Vec<(u32, Option<Threshold>)> {
    let mut left = remainder;
    let mut waves = Vec::new();
    for &(old_size, threshold) in old {
        let size = old_size.min(left);
        if size == 0 {
            break;
        }
        let threshold = match threshold {
            Some(Threshold::Count(count)) if size < old_size => {
                Some(Threshold::Count(count.min(size.saturating_sub(1)).max(1)))
            }
            // A smaller wave has fewer results, and `min_results` above the wave's size could never
            // be met.
            other => other.map(|threshold| threshold.with_min_results_within(size)),
        };
        waves.push((size, threshold));
        left -= size;
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn only_what_has_ended_without_success_is_retried() {
        for status in TaskStatus::ALL {
            assert_eq!(check_task(status).is_ok(), status.is_ended(), "{status}");
        }
        for outcome in Outcome::ALL {
            for (is_stored, task, is_over) in [
                (true, TaskStatus::Running, true),
                (false, TaskStatus::Halted, true),
                (false, TaskStatus::Halting, false),
            ] {
                let allowed = check_record(RecordStatus::Ended(outcome), is_stored, task).is_ok();
                assert_eq!(allowed, is_over && outcome != Outcome::Success, "{outcome} {task}");
            }
        }
        assert!(check_record(RecordStatus::Waiting, false, TaskStatus::Running).is_err());
        assert!(check_record(RecordStatus::Running, false, TaskStatus::Running).is_err());
    }

    #[test]
    fn the_waves_are_kept_as_far_as_the_remainder_allows() {
        use Threshold::Count;
        let percent_of = |min_results| {
            Some(Threshold::Percent { share: crate::BasisPoints::new(500).unwrap(), min_results })
        };
        let percent = percent_of(9);
        let old = [(4, Some(Count(3))), (10, percent), (86, None)];
        for (remainder, expected) in [
            (100, old.to_vec()),
            (60, vec![(4, Some(Count(3))), (10, percent), (46, None)]),
            (14, vec![(4, Some(Count(3))), (10, percent)]),
            (5, vec![(4, Some(Count(3))), (1, percent_of(1))]),
            (3, vec![(3, Some(Count(2)))]),
            (2, vec![(2, Some(Count(1)))]),
            (1, vec![(1, Some(Count(1)))]),
        ] {
            assert_eq!(waves(&old, remainder), expected, "{remainder}");
        }
        assert_eq!(waves(&[(9, None)], 5), [(5, None)]);
        assert_eq!(
            waves(&[(4, Some(Count(4)))], 9),
            [(4, Some(Count(4)))],
            "a whole wave keeps its threshold"
        );
    }
}
