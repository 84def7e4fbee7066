//! Error kinds: the possible reactions of a client to a failure, in any protocol.

/// Class of a failure from the client's view. Each adapter maps it in one exhaustive match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request breaks a documented rule; a repetition fails as well.
    Invalid,
    /// The request carries no valid credential.
    Unauthenticated,
    /// The caller is authenticated but lacks the right.
    Forbidden,
    /// The named object does not exist in the caller's project.
    NotFound,
    /// The request conflicts with the current state.
    Conflict,
    /// The idempotency key belongs to another request.
    KeyReused,
    /// The caller exceeds a rate or a share; a later repetition can succeed.
    TooMany,
    /// A dependency does not answer; a later repetition can succeed.
    Unavailable,
    /// Graywave has a defect.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tests that compare the adapters' tables.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::KeyReused,
        Self::TooMany,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Returns the code of the published API: `WKS.` and eight digits. Codes that the published
    /// schema lacks are Graywave's.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "WKS.00211102",
            Self::Unauthenticated => "WKS.00211302",
            Self::Forbidden => "WKS.00081102",
            Self::NotFound => "WKS.00211902",
            Self::Conflict => "WKS.00211409",
            Self::KeyReused => "WKS.00211410",
            Self::TooMany => "WKS.00211429",
            Self::Internal => "WKS.00211401",
            Self::Unavailable => "WKS.00050902",
        }
    }

    /// Returns whether the same request may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Unavailable | Self::TooMany)
    }
}
