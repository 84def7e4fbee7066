//! Fence of reports: decides whether a worker may report a result.
//!
//! A late result still counts: a worker whose agent received a target may report its result long
//! after the lease ended. A target that was certainly never delivered has no result. While one
//! worker holds a batch, no other worker can have its results.
//!
//! A result that its agent has authenticated counts from any worker: the agent, and not the worker,
//! vouches for it. It also counts if workers said that they never delivered the target.

/// Relation of a result to the stored lease, at the time of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFence {
    /// The result names a batch that its reporter holds.
    Held,
    /// The result names a batch that another worker holds.
    HeldByAnother,
    /// The result names no batch, or a deleted one. The target may have been delivered.
    MaybeDelivered,
    /// The target was certainly never delivered.
    NeverDelivered,
    /// The target is addressed to another agent of its desktop, which may have started it.
    ForAnotherAgent,
}

impl ReportFence {
    /// Returns the reason of a refusal; `None` if the result is accepted. `is_authentic` says
    /// whether the agent has authenticated that it ran something.
    pub const fn refusal(self, is_authentic: bool) -> Option<&'static str> {
        match self {
            Self::Held | Self::MaybeDelivered => None,
            Self::HeldByAnother | Self::NeverDelivered if is_authentic => None,
            Self::HeldByAnother => Some("another worker holds the batch that it names"),
            Self::NeverDelivered => Some("the target was not delivered to any agent"),
            Self::ForAnotherAgent => Some("the target was delivered to another agent of its desktop"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_been_handed_to_the_reporter_has_a_result() {
        for fence in [ReportFence::Held, ReportFence::MaybeDelivered] {
            assert_eq!([fence.refusal(false), fence.refusal(true)], [None, None]);
        }
        assert!(ReportFence::HeldByAnother.refusal(false).unwrap().contains("another worker"));
        assert!(ReportFence::NeverDelivered.refusal(false).unwrap().contains("not delivered"));
        assert!(ReportFence::ForAnotherAgent.refusal(false).unwrap().contains("another agent"));
    }

    #[test]
    fn authentic_result_counts_from_any_worker() {
        assert_eq!(ReportFence::HeldByAnother.refusal(true), None);
        assert_eq!(ReportFence::NeverDelivered.refusal(true), None);
        assert!(ReportFence::ForAnotherAgent.refusal(true).is_some());
    }
}
