//! The bar of a bootstrap, and a line for each host without a terminal.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{hosts::Host, remote::Outcome, report::word};

/// Progress over all hosts.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether standard error is no terminal, and lines replace the bar.
    has_lines: bool,
    /// Outcomes so far, in the hosts' order, for an interruption.
    outcomes: Mutex<Vec<Outcome>>,
}

impl Progress {
    pub(super) fn new(hosts: usize, is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = match is_terminal && !is_quiet {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(u64::try_from(hosts).ok(), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} hosts, {elapsed}  {msg}") {
            bar.set_style(style);
        }
        let outcomes = Mutex::new(vec![Outcome::Interrupted; hosts]);
        Self { bar, has_lines: !is_terminal && !is_quiet, outcomes }
    }

    pub(super) fn begin(&self, host: &Host) {
        self.bar.set_message(host.as_str().to_owned());
    }

    pub(super) fn end(&self, place: usize, host: &Host, outcome: &Outcome) {
        if let Some(slot) = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            *slot = outcome.clone();
        }
        let line = format!("{host}: {}", word(outcome));
        if self.has_lines {
            // A closed stream is ignored.
            drop(writeln!(std::io::stderr(), "{line}"));
        } else if *outcome != Outcome::Installed {
            self.bar.println(line);
        }
        self.bar.inc(1);
    }

    /// Returns the outcomes at an interruption.
    pub(super) fn interrupted(&self, hosts: &[Host]) -> Vec<Outcome> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        debug_assert_eq!(outcomes.len(), hosts.len(), "one outcome for each host");
        outcomes
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
