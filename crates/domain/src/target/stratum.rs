//! The attributes of a desktop that a canary sample is stratified over.

use crate::string_enum::string_enum;

/// What a sample may be stratified over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StratumKey {
    /// Operating system.
    Os,
    /// Pool.
    Pool,
    /// Availability zone.
    Zone,
}

impl StratumKey {
    /// Every key.
    pub const ALL: [Self; 3] = [Self::Os, Self::Pool, Self::Zone];

    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Pool => "pool",
            Self::Zone => "zone",
        }
    }
}

string_enum!(StratumKey, "key");
