//! Peers without a certificate.

/// Treatment of peers that send no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnonymousPeers {
    /// The handshake fails.
    Refused,
    /// The peer is accepted without an identity. A peer with an invalid certificate is still
    /// refused.
    LetIn,
}
