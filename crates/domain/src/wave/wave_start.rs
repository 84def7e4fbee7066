//! Start conditions of the next wave, after the gate let the rollout proceed.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Timestamp};

/// A reason why a whole task admits no targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdmissionBlock {
    /// A person paused the task.
    Paused,
    /// The project is frozen.
    Frozen,
    /// The task passed its `expires_at` and is about to be stopped.
    Expired,
}

/// Returns the reason why a task admits no targets; `None` if it may admit.
pub fn admission_block(
    is_paused: bool,
    is_frozen: bool,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<AdmissionBlock> {
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        Some(AdmissionBlock::Expired)
    } else if is_frozen {
        Some(AdmissionBlock::Frozen)
    } else {
        is_paused.then_some(AdmissionBlock::Paused)
    }
}

/// Start conditions of a wave, and their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartConditions {
    /// End of the soak: the wave opens no earlier. `None` without a soak.
    pub opens_at: Option<Timestamp>,
    /// Whether a person must approve the wave.
    pub needs_approval: bool,
    /// Whether a person approved it for the current plan and scripts.
    pub is_approved: bool,
}

/// Decision whether a pending wave opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveStart {
    /// The wave opens now.
    Open,
    /// The wave opens when the task may admit targets again.
    Blocked(AdmissionBlock),
    /// The wave opens after a person approved it.
    WaitsForApproval,
    /// The wave opens at this time, when its soak ends.
    Soaks(Timestamp),
}

impl std::fmt::Display for WaveStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("opens now"),
            Self::Blocked(hold) => hold.fmt(f),
            Self::WaitsForApproval => f.write_str("waiting for a person's approval"),
            Self::Soaks(opens_at) => {
                write!(
                    f,
                    "the previous wave soaks until {}",
                    opens_at.to_rfc3339_opts(SecondsFormat::Secs, true)
                )
            }
        }
    }
}

impl std::fmt::Display for AdmissionBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Paused => "the task is paused",
            Self::Frozen => "the project is frozen",
            Self::Expired => "the task has expired",
        })
    }
}

/// Decides whether a pending wave opens. A block takes precedence, then the soak, then the
/// approval.
pub fn decide(opening: &StartConditions, hold: Option<AdmissionBlock>, now: Timestamp) -> WaveStart {
    if let Some(hold) = hold {
        return WaveStart::Blocked(hold);
    }
    if let Some(opens_at) = opening.opens_at
        && now < opens_at
    {
        return WaveStart::Soaks(opens_at);
    }
    if opening.needs_approval && !opening.is_approved { WaveStart::WaitsForApproval } else { WaveStart::Open }
}

/// An approval request with the state that it is checked against.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalRequest<'a> {
    /// Wave to approve, from 1.
    pub wave: u16,
    /// Whether the wave is the next one to open and has not opened yet.
    pub is_next: bool,
    /// Start conditions of the wave.
    pub opening: &'a StartConditions,
    /// Author of the task.
    pub author: &'a str,
    /// Principal that approves.
    pub approver: &'a str,
    /// Whether author and approver must differ.
    pub distinct_approver: bool,
    /// Whether the plan hash in the request, if present, matches the task's plan.
    pub fits_plan: bool,
    /// Whether the script hash in the request, if present, matches the task's scripts.
    pub fits_scripts: bool,
}

/// Checks that a wave may be approved now. An approval is valid only after the results of the
/// previous wave are known.
pub fn check_approval(request: &ApprovalRequest<'_>) -> Result<(), Error> {
    let wave = request.wave;
    if !request.opening.needs_approval {
        let message = format!("wave {wave} needs no approval");
        return Err(Error::new(Reason::WaveNotAwaitingApproval, message));
    }
    if !request.fits_plan {
        let message = "does not match the task's plan: review the current plan";
        return Err(Error::field(Reason::ApprovalOutdated, "plan_hash", message));
    }
    if !request.fits_scripts {
        let message = "does not match the task's scripts: review the current scripts";
        return Err(Error::field(Reason::ApprovalOutdated, "script_hash", message));
    }
    if request.distinct_approver && request.author == request.approver {
        let message = format!("{} submitted this task and may not approve it", request.approver);
        return Err(Error::new(Reason::SelfApproval, message));
    }
    if !request.is_next {
        let message = format!("wave {wave} does not wait for approval: the wave before it has not closed");
        return Err(Error::new(Reason::WaveNotAwaitingApproval, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn wave_opens_after_soak_and_approval_unless_blocked() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + TimeDelta::seconds(1);
        let plain = StartConditions::default();
        let soaks = StartConditions { opens_at: Some(later), ..plain };
        let approval = StartConditions { needs_approval: true, ..plain };
        let approved = StartConditions { is_approved: true, ..approval };
        for (opening, hold, expected) in [
            (plain, None, WaveStart::Open),
            (plain, Some(AdmissionBlock::Paused), WaveStart::Blocked(AdmissionBlock::Paused)),
            (approved, Some(AdmissionBlock::Frozen), WaveStart::Blocked(AdmissionBlock::Frozen)),
            (soaks, None, WaveStart::Soaks(later)),
            (StartConditions { opens_at: Some(now), ..plain }, None, WaveStart::Open),
            (approval, None, WaveStart::WaitsForApproval),
            (approved, None, WaveStart::Open),
            (StartConditions { opens_at: Some(later), ..approved }, None, WaveStart::Soaks(later)),
            (StartConditions { opens_at: Some(later), ..approval }, None, WaveStart::Soaks(later)),
            (StartConditions { opens_at: Some(now), ..approval }, None, WaveStart::WaitsForApproval),
        ] {
            assert_eq!(decide(&opening, hold, now), expected, "{opening:?} {hold:?}");
        }
    }

    #[test]
    fn an_approval_fits_the_task_its_moment_and_its_people() {
        let opening = StartConditions { needs_approval: true, ..StartConditions::default() };
        let good = ApprovalRequest {
            wave: 2,
            is_next: true,
            opening: &opening,
            author: "alice",
            approver: "bob",
            distinct_approver: true,
            fits_plan: true,
            fits_scripts: true,
        };
        assert!(check_approval(&good).is_ok());
        let own = ApprovalRequest { approver: "alice", ..good };
        assert_eq!(check_approval(&own).unwrap_err().reason, Reason::SelfApproval);
        assert!(check_approval(&ApprovalRequest { distinct_approver: false, ..own }).is_ok());
        for wrong in [
            ApprovalRequest { is_next: false, ..good },
            ApprovalRequest { opening: &StartConditions::default(), ..good },
            ApprovalRequest { fits_plan: false, ..good },
            ApprovalRequest { fits_scripts: false, ..good },
        ] {
            assert_eq!(check_approval(&wrong).unwrap_err().kind(), ErrorKind::Conflict, "{wrong:?}");
        }
    }

    #[test]
    fn expired_task_admits_none_and_freeze_precedes_pause() {
        let now = Timestamp::UNIX_EPOCH;
        let later = Some(now + TimeDelta::seconds(1));
        for (is_paused, is_frozen, expires_at, expected) in [
            (false, false, None, None),
            (false, false, later, None),
            (true, false, later, Some(AdmissionBlock::Paused)),
            (true, true, None, Some(AdmissionBlock::Frozen)),
            (true, true, Some(now), Some(AdmissionBlock::Expired)),
            (false, false, Some(now - TimeDelta::seconds(1)), Some(AdmissionBlock::Expired)),
        ] {
            assert_eq!(admission_block(is_paused, is_frozen, expires_at, now), expected);
        }
    }
}
