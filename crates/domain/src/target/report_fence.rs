//! Whether a worker may report a result at all.
//!
//! A late result is a result: whoever was handed a target may tell how it ended, long after its lease. What was certainly
//! never handed out has no result, and of a batch that is in one worker's hands no other worker has heard.

/// What a result is of, as it stands when it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFence {
    /// A target of the batch that it names, which its reporter holds.
    Held,
    /// A target of a batch that another worker holds.
    HeldByAnother,
    /// It names no batch, or one that is gone: the target may have been handed out.
    MaybeDelivered,
    /// The target was certainly never handed out.
    NeverDelivered,
    /// The target is for another agent of its desktop, which may have started it.
    ForAnotherAgent,
}

impl ReportFence {
    /// Why it is refused, if it is.
    pub const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Held | Self::MaybeDelivered => None,
            Self::HeldByAnother => Some("another worker holds the batch that it names"),
            Self::NeverDelivered => Some("the target was not handed out to anybody"),
            Self::ForAnotherAgent => Some("the target was handed to another agent of its desktop"),
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
        assert!(ReportFence::NeverDelivered.refusal().unwrap().contains("not handed out"));
        assert!(ReportFence::ForAnotherAgent.refusal().unwrap().contains("another agent"));
    }
}
