//! Terms of a new token or access key.

use std::time::{Duration, SystemTime};

use clap::Args;
use prost_types::Timestamp;

use crate::duration::{DAYS_OR_HOURS, duration};

/// Principal and lifetime of a new credential.
#[derive(Debug, Clone, Args)]
pub(super) struct NewCredential {
    /// Name of the principal: a person or a service
    #[arg(value_name = "PRINCIPAL")]
    pub(super) principal: String,
    /// Lifetime, like 30d or 12h, or `never` [default: 90d for tokens, never for keys]
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<Lifetime>,
}

/// Lifetime of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    For(Duration),
    Never,
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    match text {
        "never" => Ok(Lifetime::Never),
        text => {
            duration(DAYS_OR_HOURS)(text).map(Lifetime::For).map_err(|error| format!("{error}, or `never`"))
        }
    }
}

impl NewCredential {
    /// Returns the expiry as the command names it; `None` for never and without a flag.
    pub(super) fn expire_time(&self, now: SystemTime) -> Option<Timestamp> {
        match self.expires {
            Some(Lifetime::For(life)) => Some(Timestamp::from(now + life)),
            Some(Lifetime::Never) | None => None,
        }
    }

    /// Reports whether the credential is valid until revoked, by the words of the command.
    pub(super) fn never_expires(&self) -> bool {
        self.expires == Some(Lifetime::Never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_has_a_unit_or_is_never() {
        assert_eq!(lifetime("never"), Ok(Lifetime::Never));
        assert_eq!(lifetime("30d"), Ok(Lifetime::For(Duration::from_secs(30 * 86_400))));
        let refused = lifetime("30").unwrap_err();
        assert!(refused.contains("30d") && refused.contains("30h") && refused.contains("never"), "{refused}");
    }
}
