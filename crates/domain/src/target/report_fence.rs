//! Fence of reports: decides whether a worker may report a result.
//!
//! A late result still counts: a worker whose agent received a target may report its result long
//! after the lease ended. A target that was certainly never delivered has no result. While one
//! worker holds a batch, no other worker can have its results.

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
    /// Returns the reason of a refusal; `None` if the result is accepted.
    pub const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Held | Self::MaybeDelivered => None,
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
        assert_eq!([ReportFence::Held, ReportFence::MaybeDelivered].map(ReportFence::refusal), [None, None]);
        assert!(ReportFence::HeldByAnother.refusal().unwrap().contains("another worker"));
        assert!(ReportFence::NeverDelivered.refusal().unwrap().contains("not delivered"));
        assert!(ReportFence::ForAnotherAgent.refusal().unwrap().contains("another agent"));
    }
}
