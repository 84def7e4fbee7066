//! Flags with the reason and the ticket of a change.

use clap::Args;
use domain::justification::Justification;

/// Reason and ticket of a change, which the audit stores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct ReasonFlags {
    /// Reason, shown with the task and stored in the audit: --reason 'fix CVE-2026-1'
    #[arg(long, value_name = "TEXT", value_parser = reason, default_value_t, hide_default_value = true)]
    pub(crate) reason: String,
    /// Ticket of the change, such as OPS-1234
    #[arg(long, value_name = "ID", value_parser = ticket, default_value_t, hide_default_value = true)]
    pub(crate) ticket: String,
}

fn reason(text: &str) -> Result<String, String> {
    let checked = Justification::new(text, "").map_err(|error| error.message)?;
    Ok(checked.reason().to_owned())
}

fn ticket(text: &str) -> Result<String, String> {
    let checked = Justification::new("", text).map_err(|error| error.message)?;
    Ok(checked.ticket().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: ReasonFlags,
    }

    #[test]
    fn reason_is_checked_before_any_call() {
        let parsed = |arguments: &[&str]| Line::try_parse_from([&["it"], arguments].concat());
        let flags = parsed(&["--reason", " fix it ", "--ticket", "OPS-7"]).unwrap().flags;
        assert_eq!((flags.reason.as_str(), flags.ticket.as_str()), ("fix it", "OPS-7"));
        assert_eq!(parsed(&[]).unwrap().flags, ReasonFlags::default());
        let refused = parsed(&["--reason", "red \u{1b}[31m"]).unwrap_err().to_string();
        assert!(refused.contains("use one line of visible text"), "{refused}");
        assert!(parsed(&["--ticket", "OPS 7"]).is_err());
    }
}
