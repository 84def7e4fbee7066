//! When the next wave opens, once the gate lets the rollout go on.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Timestamp};

/// What keeps a whole task from admitting anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdmissionBlock {
    /// A person paused the task.
    Paused,
    /// The project is frozen.
    Frozen,
    /// The task's time is over, and it is about to be stopped.
    Expired,
}

/// What keeps a task from admitting anything, if something does.
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

/// What a wave needs before it opens, and what of it is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartConditions {
    /// Not before then: the wave before it soaks.
    pub opens_at: Option<Timestamp>,
    /// A person must approve it.
    pub needs_approval: bool,
    /// A person has, for this plan and these scripts.
    pub is_approved: bool,
}

/// Whether a wave whose turn it is opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveStart {
    /// Now.
    Open,
    /// When the task may admit something again.
    Blocked(AdmissionBlock),
    /// When a person has approved it.
    WaitsForApproval,
    /// Then, when the wave before it has soaked.
    Soaks(Timestamp),
}

impl std::fmt::Display for WaveStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("it opens"),
            Self::Blocked(hold) => hold.fmt(f),
            Self::WaitsForApproval => f.write_str("it waits for a person's approval"),
            Self::Soaks(opens_at) => {
                write!(
                    f,
                    "the wave before it soaks until {}",
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

/// The rule.
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

/// Who asks for a wave to be approved, and of what.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalRequest<'a> {
    /// The wave.
    pub wave: u16,
    /// Whether it is the next one to open, and has not been.
    pub is_next: bool,
    /// What it needs.
    pub opening: &'a StartConditions,
    /// Who asked for the task.
    pub author: &'a str,
    /// Who approves.
    pub approver: &'a str,
    /// They must differ.
    pub distinct_approver: bool,
    /// The plan that the approver has seen, where it is named; it is the task's.
    pub fits_plan: bool,
    /// The scripts that the approver has seen, where they are named; they are the task's.
    pub fits_scripts: bool,
}

/// Whether a wave may be approved. What nobody has seen the results before is not approved beforehand.
pub fn check_approval(request: &ApprovalRequest<'_>) -> Result<(), Error> {
    let wave = request.wave;
    if !request.opening.needs_approval {
        let message = format!("wave {wave} needs no approval");
        return Err(Error::new(Reason::WaveNotAwaitingApproval, message));
    }
    if !request.fits_plan {
        let message = "not the hash of the task's plan: look at the plan again";
        return Err(Error::field(Reason::ApprovalOutdated, "plan_hash", message));
    }
    if !request.fits_scripts {
        let message = "not the hash of what the task runs: look at it again";
        return Err(Error::field(Reason::ApprovalOutdated, "script_hash", message));
    }
    if request.distinct_approver && request.author == request.approver {
        let message = format!("{} asked for this task and may not approve it", request.approver);
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
    fn a_wave_opens_when_it_has_soaked_is_approved_and_nothing_holds_it() {
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
    fn an_expired_task_admits_nothing_and_a_freeze_is_said_before_a_pause() {
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
