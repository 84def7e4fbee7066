//! How a stop treats running scripts.

/// How a stop treats scripts that already run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopMode {
    /// They run to their end.
    Drain,
    /// They are killed. The default.
    #[default]
    Kill,
}
