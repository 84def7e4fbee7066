//! Retry: a new task over what did not succeed.
//!
//! The unit is the script on a desktop: what succeeded is not run again. Scripts of a target run in order and stop
//! at the first that does not succeed, so what is left of a target is always its scripts from some place on.

use crate::{Error, ErrorKind, ids::DesktopId, plan::Gray, record::RecordStatus, task::TaskStatus};

/// A target of the old task that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// Its desktop.
    pub desktop_id: DesktopId,
    /// The first of its scripts that is to be run.
    pub first_script: u16,
}

/// Whether a whole task may be retried.
pub fn check_task(status: TaskStatus) -> Result<(), Error> {
    if status.is_ended() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "the task has not ended: wait for its end or stop it, then retry it"))
}

/// Whether one record may be retried.
pub fn check_record(status: RecordStatus) -> Result<(), Error> {
    use crate::outcome::Outcome;
    match status {
        RecordStatus::Ended(Outcome::Success) => {
            Err(Error::new(ErrorKind::Conflict, "the record succeeded: there is nothing to retry"))
        }
        RecordStatus::Ended(_) => Ok(()),
        RecordStatus::Waiting | RecordStatus::Running => Err(Error::new(
            ErrorKind::Conflict,
            "the record has not ended: wait for its end or stop it, then retry it",
        )),
    }
}

/// The gray rule of a retry: that of the old task, as large as the remainder allows. A retry of what a gate halted
/// must not run into everything at once. Its gray wave takes the remainder in the order of the old plan, so the old
/// canaries come first.
pub fn gray(old: Option<(u32, u32)>, remainder: &[Remainder]) -> Option<Gray> {
    let (count, fail_threshold) = old?;
    let count = count.min(u32::try_from(remainder.len()).unwrap_or(u32::MAX));
    let ids = remainder.iter().take(count as usize).map(|one| one.desktop_id.clone()).collect();
    // Less than the count, as for any gray rule; a single canary halts the rest when it fails.
    Some(Gray { count, ids, fail_threshold: fail_threshold.min(count.saturating_sub(1)).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn remainder(number: u32) -> Vec<Remainder> {
        (0..number)
            .map(|number| Remainder { desktop_id: format!("d{number}").parse().unwrap(), first_script: 0 })
            .collect()
    }

    #[test]
    fn only_what_has_ended_without_success_is_retried() {
        for status in TaskStatus::ALL {
            assert_eq!(check_task(status).is_ok(), status.is_ended(), "{status}");
        }
        for outcome in Outcome::ALL {
            let allowed = check_record(RecordStatus::Ended(outcome)).is_ok();
            assert_eq!(allowed, outcome != Outcome::Success, "{outcome}");
        }
        assert!(check_record(RecordStatus::Waiting).is_err());
        assert!(check_record(RecordStatus::Running).is_err());
    }

    #[test]
    fn the_gray_rule_is_kept_as_far_as_the_remainder_allows() {
        assert_eq!(gray(None, &remainder(5)), None);
        // (old count, old threshold, remainder) -> (count, threshold)
        for (old_count, old_threshold, left, count, threshold) in
            [(4, 2, 10, 4, 2), (4, 3, 3, 3, 2), (4, 3, 2, 2, 1), (4, 3, 1, 1, 1), (1, 1, 9, 1, 1)]
        {
            let gray = gray(Some((old_count, old_threshold)), &remainder(left)).unwrap();
            assert_eq!((gray.count, gray.fail_threshold), (count, threshold), "{old_count} {left}");
            assert_eq!(gray.ids.len(), count as usize);
            assert_eq!(gray.ids[0].as_str(), "d0");
        }
    }
}
