//! Ways in which a desktop goes down.

use serde::{Deserialize, Serialize};

/// How a desktop goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    Reboot,
    PowerOff,
}
