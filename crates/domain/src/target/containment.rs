//! How agents find the processes of scripts.

use crate::string_enum::string_enum;

/// Means by which an agent tracks the processes of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containment {
    /// A cgroup of the script's own.
    Cgroup,
    /// A job object of the script's own, on Windows.
    Job,
    /// A subreaper, and a mark in the environment of the processes.
    Mark,
}

impl Containment {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Cgroup, Self::Job, Self::Mark];

    /// Returns the word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cgroup => "CGROUP",
            Self::Job => "JOB",
            Self::Mark => "MARK",
        }
    }
}

string_enum!(Containment, "containment");
