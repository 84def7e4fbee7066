//! The table of a bootstrap.

use serde_json::json;

use super::{hosts::Host, remote::Outcome};
use crate::{
    Error,
    output::{Cell, Column, Console, Tone, cell, table},
};

/// A host and its end.
#[derive(Debug)]
pub(super) struct HostReport {
    host: String,
    outcome: Outcome,
}

impl HostReport {
    pub(super) fn new(host: &Host, outcome: Outcome) -> Self {
        Self { host: host.as_str().to_owned(), outcome }
    }

    pub(super) fn is_installed(&self) -> bool {
        self.outcome == Outcome::Installed
    }
}

/// Word of an outcome.
pub(super) const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Installed => "INSTALLED",
        Outcome::Unreachable(_) => "UNREACHABLE",
        Outcome::Refused(_) => "REFUSED",
        Outcome::Failed(_) => "FAILED",
        Outcome::TimedOut(_) => "TIMEOUT",
        Outcome::Interrupted => "INTERRUPTED",
    }
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Installed => "",
        Outcome::Unreachable(reason)
        | Outcome::Refused(reason)
        | Outcome::Failed(reason)
        | Outcome::TimedOut(reason) => reason,
        Outcome::Interrupted => "the installation may go on; repeat the command for this host",
    }
}

/// Prints the table, and the number of hosts by word to standard error.
pub(super) fn show(console: &mut Console, reports: &[HostReport]) -> Result<(), Error> {
    let installed = reports.iter().filter(|report| report.is_installed()).count();
    let value = || {
        let hosts = reports.iter().map(|report| {
            json!({"host": report.host, "result": word(&report.outcome), "reason": reason(&report.outcome)})
        });
        hosts.collect()
    };
    let names: String = reports.iter().map(|report| format!("{}\n", report.host)).collect();
    console.show_value(value, &names, |palette, is_wide| {
        let columns = [Column::text("host"), Column::text("result"), Column::text("reason")];
        table(&columns, reports.iter().map(cells), is_wide, palette)
    })?;
    console.say(&format!("installed on {installed} of {} hosts", reports.len()));
    if installed < reports.len() {
        console.say("repeat the command for the others: an installed host stays as it is");
    }
    Ok(())
}

fn cells(report: &HostReport) -> Vec<Cell> {
    let tone = if report.is_installed() { Tone::Good } else { Tone::Bad };
    vec![cell(&report.host), cell(word(&report.outcome)).tone(tone), cell(reason(&report.outcome))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn table_has_a_line_for_each_host() {
        let outcomes = [
            ("pc-1", Outcome::Installed),
            ("pc-2", Outcome::Refused("Permission denied".into())),
            ("pc-3", Outcome::TimedOut("no end within 5 s".into())),
        ];
        let reports: Vec<_> =
            outcomes.map(|(host, outcome)| HostReport { host: host.into(), outcome }).into_iter().collect();
        let mut console = Console::in_memory(Format::Table);
        show(&mut console, &reports).unwrap();
        assert_eq!(
            console.captured(),
            "HOST  RESULT     REASON\n\
             pc-1  INSTALLED  -\n\
             pc-2  REFUSED    Permission denied\n\
             pc-3  TIMEOUT    no end within 5 s\n"
        );
        let mut console = Console::in_memory(Format::Json);
        show(&mut console, &reports).unwrap();
        let printed: serde_json::Value = serde_json::from_str(&console.captured()).unwrap();
        assert_eq!(printed[1], json!({"host": "pc-2", "result": "REFUSED", "reason": "Permission denied"}));
    }
}
