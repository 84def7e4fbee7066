//! Coverage: features that simulations reach, so that tests notice one that no simulation reaches
//! any more.

use std::collections::BTreeMap;

/// A feature that a simulation may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Feature {
    Halt,
    LateHalt,
    QuorumClose,
    Undelivered,
    Unknown,
    Timeout,
    Rejected,
    StoppedTarget,
    Skipped,
    SoakWait,
    ApprovalWait,
    EvidenceWait,
    Approval,
    Pause,
    Freeze,
    Expiry,
    Stop,
    Kill,
    TargetStop,
    ConcurrencyChanged,
    LostBatch,
    NeverPulled,
    KnownResult,
    StrictLimit,
    PlacesFull,
    LatePlace,
    AskedOnly,
    Withdrawn,
    WindowWait,
    NoScheduler,
    WorkerDied,
    WorkerDrained,
    Flap,
    Reboot,
    Reinstalled,
    Replaced,
    Success,
    Failed,
    Thousands,
    Suspected,
    Quarantined,
    SecondTask,
    SecondProject,
    DesktopShared,
    DesktopBusy,
    PlacesShared,
    ProjectLimitChanged,
    RetryTask,
    RetryRecord,
    RetryResumes,
    RetryRefused,
    ClockSkew,
    Outage,
    OutageFailed,
    AnswerLost,
    SilenceExcused,
    RoomShared,
    Poisoned,
    ResultRefused,
    ReportSplit,
    Retired,
    Revoked,
    ReturnAwaited,
    PlannedReboot,
    LostByReboot,
    Paused,
    Resumed,
    NotReturned,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 68] = [
        Self::Halt,
        Self::LateHalt,
        Self::QuorumClose,
        Self::Undelivered,
        Self::Unknown,
        Self::Timeout,
        Self::Rejected,
        Self::StoppedTarget,
        Self::Skipped,
        Self::SoakWait,
        Self::ApprovalWait,
        Self::EvidenceWait,
        Self::Approval,
        Self::Pause,
        Self::Freeze,
        Self::Expiry,
        Self::Stop,
        Self::Kill,
        Self::TargetStop,
        Self::ConcurrencyChanged,
        Self::LostBatch,
        Self::NeverPulled,
        Self::KnownResult,
        Self::StrictLimit,
        Self::PlacesFull,
        Self::LatePlace,
        Self::AskedOnly,
        Self::Withdrawn,
        Self::WindowWait,
        Self::NoScheduler,
        Self::WorkerDied,
        Self::WorkerDrained,
        Self::Flap,
        Self::Reboot,
        Self::Reinstalled,
        Self::Replaced,
        Self::Success,
        Self::Failed,
        Self::Thousands,
        Self::Suspected,
        Self::Quarantined,
        Self::SecondTask,
        Self::SecondProject,
        Self::DesktopShared,
        Self::DesktopBusy,
        Self::PlacesShared,
        Self::ProjectLimitChanged,
        Self::RetryTask,
        Self::RetryRecord,
        Self::RetryResumes,
        Self::RetryRefused,
        Self::ClockSkew,
        Self::Outage,
        Self::OutageFailed,
        Self::AnswerLost,
        Self::SilenceExcused,
        Self::RoomShared,
        Self::Poisoned,
        Self::ResultRefused,
        Self::ReportSplit,
        Self::Retired,
        Self::Revoked,
        Self::ReturnAwaited,
        Self::PlannedReboot,
        Self::LostByReboot,
        Self::Paused,
        Self::Resumed,
        Self::NotReturned,
    ];
}

/// Number of occurrences of each feature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Feature, u64>);

impl Coverage {
    pub(super) fn add(&mut self, feature: Feature) {
        *self.0.entry(feature).or_default() += 1;
    }

    /// Adds the coverage of another simulation.
    pub fn merge(&mut self, other: &Self) {
        for (&feature, number) in &other.0 {
            *self.0.entry(feature).or_default() += number;
        }
    }

    /// Number of occurrences.
    pub fn of(&self, feature: Feature) -> u64 {
        self.0.get(&feature).copied().unwrap_or_default()
    }

    /// Features without an occurrence.
    pub fn missing(&self) -> Vec<Feature> {
        Feature::ALL.into_iter().filter(|&feature| self.of(feature) == 0).collect()
    }
}
