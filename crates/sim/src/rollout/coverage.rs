//! Coverage: what really happened in stories, so that a feature which no story reaches any more is noticed.

use std::collections::BTreeMap;

/// Something that a story may come across.
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
}

impl Feature {
    /// Every one.
    pub const ALL: [Self; 40] = [
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
    ];
}

/// How often each feature happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Feature, u64>);

impl Coverage {
    pub(super) fn add(&mut self, feature: Feature) {
        *self.0.entry(feature).or_default() += 1;
    }

    /// Adds another story's.
    pub fn merge(&mut self, other: &Self) {
        for (&feature, number) in &other.0 {
            *self.0.entry(feature).or_default() += number;
        }
    }

    /// How often it happened.
    pub fn of(&self, feature: Feature) -> u64 {
        self.0.get(&feature).copied().unwrap_or_default()
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<Feature> {
        Feature::ALL.into_iter().filter(|&feature| self.of(feature) == 0).collect()
    }
}
