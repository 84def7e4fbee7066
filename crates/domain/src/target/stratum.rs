//! The attributes of a desktop over which a canary sample is stratified.

use crate::string_enum::string_enum;

/// An attribute over which a sample can be stratified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StratumKey {
    /// Operating system.
    Os,
    /// Pool of the desktop.
    Pool,
    /// Availability zone.
    Zone,
}

impl StratumKey {
    /// Every key.
    pub const ALL: [Self; 3] = [Self::Os, Self::Pool, Self::Zone];

    /// Returns the word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Pool => "pool",
            Self::Zone => "zone",
        }
    }
}

string_enum!(StratumKey, "key");
