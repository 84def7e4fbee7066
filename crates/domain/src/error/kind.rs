//! Error kinds: what a client can do about a failure, whatever protocol it speaks.

/// Class of a failure in the client's terms. Each adapter maps it in one exhaustive match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request breaks a documented rule; repeating it cannot help.
    Invalid,
    /// The request carries no valid credential.
    Unauthenticated,
    /// The caller is known but lacks the right.
    Forbidden,
    /// The named object does not exist in the caller's project.
    NotFound,
    /// The request contradicts the present state.
    Conflict,
    /// The idempotency key belongs to another request.
    KeyReused,
    /// The caller exceeds a rate or a share; repeating the request later helps.
    TooMany,
    /// A dependency does not answer; repeating the request later helps.
    Unavailable,
    /// Graywave itself is at fault.
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

    /// Code of the published API: `WKS.` and eight digits. Codes that the published schema lacks are our own.
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

    /// Whether the same request may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Unavailable | Self::TooMany)
    }
}
