//! Peers without a certificate.

/// What becomes of a peer that shows no certificate at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnonymousPeers {
    /// There is no connection.
    Refused,
    /// It is let in as nobody. One that shows a bad certificate is not.
    LetIn,
}
