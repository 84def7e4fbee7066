//! Start conditions of the next wave, after the gate let the rollout proceed.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Timestamp, string_enum::string_enum};

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

/// A reason why a wave opens only after a person's approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveHold {
    /// The task's author asked for an approval before this wave.
    Approval,
    /// Too few targets of the previous wave succeeded.
    NoEvidence,
}

impl WaveHold {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Approval, Self::NoEvidence];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "APPROVAL",
            Self::NoEvidence => "NO_EVIDENCE",
        }
    }
}

string_enum!(WaveHold, "hold");

/// Start conditions of a wave, and their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartConditions {
    /// End of the soak: the wave opens no earlier. `None` without a soak.
    pub opens_at: Option<Timestamp>,
    /// Whether a person must approve the wave.
    pub needs_approval: bool,
    /// Whether a person approved it for the current plan and scripts.
    pub is_approved: bool,
    /// Time at which the task stops unless a person approves the wave, because the previous wave
    /// gave no evidence; `None` with evidence, and before the previous wave closes.
    pub hold_until: Option<Timestamp>,
}

impl StartConditions {
    /// Returns the reason why the wave opens only after an approval. `None` if it needs none, or
    /// has one.
    pub const fn hold(&self) -> Option<WaveHold> {
        if self.is_approved {
            None
        } else if self.hold_until.is_some() {
            Some(WaveHold::NoEvidence)
        } else if self.needs_approval {
            Some(WaveHold::Approval)
        } else {
            None
        }
    }

    /// Returns the time at which a hold without evidence ends; `None` without such a hold.
    pub fn hold_end(&self) -> Option<Timestamp> {
        self.hold_until.filter(|_| !self.is_approved)
    }

    /// Returns whether the hold without evidence has lasted as long as it may.
    pub fn is_hold_over(&self, now: Timestamp) -> bool {
        self.hold_end().is_some_and(|end| end <= now)
    }
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
    /// The previous wave gave no evidence: the wave opens after a person approved it, and the task
    /// stops at this time.
    LacksEvidence(Timestamp),
    /// The wave opens at this time, when its soak ends.
    Soaks(Timestamp),
}

impl std::fmt::Display for WaveStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("opens now"),
            Self::Blocked(hold) => hold.fmt(f),
            Self::WaitsForApproval => f.write_str("waiting for a person's approval"),
            Self::LacksEvidence(until) => write!(
                f,
                "too few targets of the previous wave succeeded: waiting for a person's approval until {}",
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
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
/// approval. A missing evidence takes precedence over an approval that the author asked for.
pub fn decide(opening: &StartConditions, hold: Option<AdmissionBlock>, now: Timestamp) -> WaveStart {
    if let Some(hold) = hold {
        return WaveStart::Blocked(hold);
    }
    if let Some(opens_at) = opening.opens_at
        && now < opens_at
    {
        return WaveStart::Soaks(opens_at);
    }
    match (opening.hold_end(), opening.hold()) {
        (Some(end), _) => WaveStart::LacksEvidence(end),
        (None, Some(_)) => WaveStart::WaitsForApproval,
        (None, None) => WaveStart::Open,
    }
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
    /// Reason of the wait that the approver has seen; `None` if the request names none.
    pub seen_hold: Option<WaveHold>,
    /// Whether the plan hash in the request, if present, matches the task's plan.
    pub fits_plan: bool,
    /// Whether the script hash in the request, if present, matches the task's scripts.
    pub fits_scripts: bool,
}

/// Checks that a wave may be approved now. An approval is valid only after the results of the
/// previous wave are known.
pub fn check_approval(request: &ApprovalRequest<'_>) -> Result<(), Error> {
    let wave = request.wave;
    let StartConditions { needs_approval, hold_until, .. } = *request.opening;
    if !needs_approval && hold_until.is_none() {
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
    check_seen_hold(request)
}

/// Checks that the approver knows why the wave waits. An approval that the author asked for
/// beforehand does not open a wave that also lacks evidence.
fn check_seen_hold(request: &ApprovalRequest<'_>) -> Result<(), Error> {
    let Some(hold) = request.opening.hold() else { return Ok(()) };
    let is_ambiguous = hold == WaveHold::NoEvidence && request.opening.needs_approval;
    let seen = request.seen_hold.unwrap_or(if is_ambiguous { WaveHold::Approval } else { hold });
    if seen == hold {
        return Ok(());
    }
    let message = match hold {
        WaveHold::NoEvidence => {
            "too few targets of the previous wave succeeded: review its results, and approve with NO_EVIDENCE \
             to open the wave anyway"
        }
        WaveHold::Approval => {
            "does not match: the wave waits for the approval that the task's author asked for"
        }
    };
    Err(Error::field(Reason::ApprovalOutdated, "hold", message))
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
        let lacks = StartConditions { hold_until: Some(later), ..plain };
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
            (lacks, None, WaveStart::LacksEvidence(later)),
            (StartConditions { needs_approval: true, ..lacks }, None, WaveStart::LacksEvidence(later)),
            (StartConditions { is_approved: true, ..lacks }, None, WaveStart::Open),
            (StartConditions { opens_at: Some(later), ..lacks }, None, WaveStart::Soaks(later)),
        ] {
            assert_eq!(decide(&opening, hold, now), expected, "{opening:?} {hold:?}");
        }
    }

    /// A request that only its wave's start conditions can refuse.
    fn approval_of(opening: &StartConditions) -> ApprovalRequest<'_> {
        ApprovalRequest {
            wave: 2,
            is_next: true,
            opening,
            author: "alice",
            approver: "bob",
            distinct_approver: true,
            seen_hold: None,
            fits_plan: true,
            fits_scripts: true,
        }
    }

    #[test]
    fn an_approval_fits_the_task_its_moment_and_its_people() {
        let opening = StartConditions { needs_approval: true, ..StartConditions::default() };
        let good = approval_of(&opening);
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
    fn an_approval_without_evidence_names_the_reason() {
        let lacks = StartConditions { hold_until: Some(Timestamp::UNIX_EPOCH), ..StartConditions::default() };
        let both = StartConditions { needs_approval: true, ..lacks };
        let asked = StartConditions { needs_approval: true, ..StartConditions::default() };
        let (approval, evidence) = (Some(WaveHold::Approval), Some(WaveHold::NoEvidence));
        for (opening, seen_hold, is_right) in [
            (lacks, None, true),
            (lacks, evidence, true),
            (lacks, approval, false),
            (both, None, false),
            (both, approval, false),
            (both, evidence, true),
            (asked, None, true),
            (asked, approval, true),
            (asked, evidence, false),
            (StartConditions { is_approved: true, ..both }, None, true),
        ] {
            let checked = check_approval(&ApprovalRequest { seen_hold, ..approval_of(&opening) });
            let reason = checked.as_ref().err().map(|error| error.reason);
            let expected = (!is_right).then_some(Reason::ApprovalOutdated);
            assert_eq!(reason, expected, "{opening:?} {seen_hold:?}");
        }
        for hold in WaveHold::ALL {
            assert_eq!(hold.as_str().parse::<WaveHold>().unwrap(), hold);
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
