//! What a command prints: what was asked for on standard output, all else on standard error.

mod json;
mod list;
mod pager;
mod paint;
mod sink;
mod table;

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
pub(crate) use json::parse;
pub(crate) use list::{List, Paging, pages};
pub(crate) use paint::{Paint, Tone, tone};
use prost::{Message, Name};
use sink::Sink;
pub(crate) use table::{Cell, Column, Listed, cell, table};

use crate::Failure;
pub(crate) use crate::harmless::{harmless, harmless_line};

/// Whether the terminal can do no more than print.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// In which form something is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For people with a wide terminal: more columns
    Wide,
    /// All of it, for programs
    Json,
    /// All of it, for programs and people
    Yaml,
    /// The ids alone, one in a line
    Name,
}

/// How something is printed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Manner {
    /// Form of what is printed
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM", help_heading = HEADING)]
    output: Format,
    /// Say nothing on standard error but errors
    #[arg(long, short, help_heading = HEADING)]
    quiet: bool,
    /// No colours; NO_COLOR in the environment means the same, and what goes to no terminal has none
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    no_color: bool,
    /// Do not page through long output with $PAGER (less)
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    no_pager: bool,
}

const HEADING: &str = "Output";

impl Manner {
    pub(crate) fn console(&self) -> Console {
        Console {
            format: self.output,
            quiet: self.quiet,
            out: Paint::of(&std::io::stdout(), self.no_color),
            err: Paint::of(&std::io::stderr(), self.no_color),
            may_page: !self.no_pager && std::io::stdout().is_terminal(),
            sink: Sink::Stdout,
        }
    }
}

/// Where a command prints to.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    /// Of standard output.
    pub(crate) out: Paint,
    /// Of standard error.
    pub(crate) err: Paint,
    may_page: bool,
    sink: Sink,
}

impl Console {
    /// From now on what is longer than the screen is paged through.
    pub(crate) fn paged(&mut self) {
        if self.may_page {
            self.sink = Sink::pager();
        }
    }

    /// Whether a pager has the terminal: then nothing else may write to it.
    pub(crate) fn is_paged(&self) -> bool {
        matches!(self.sink, Sink::Pager(_))
    }

    /// Prints to standard output.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.sink.write(text)
    }

    /// Waits until who reads has seen everything.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.sink.finish()
    }

    /// One that keeps what is printed.
    #[cfg(test)]
    pub(crate) fn kept(format: Format) -> Self {
        let (out, err) = (Paint::default(), Paint::default());
        Self { format, quiet: true, out, err, may_page: false, sink: Sink::Kept(String::new()) }
    }

    #[cfg(test)]
    pub(crate) fn kept_text(&self) -> String {
        match &self.sink {
            Sink::Kept(text) => text.clone(),
            Sink::Stdout | Sink::Pager(_) => String::new(),
        }
    }

    /// A line for people on standard error. Where nobody reads that, nothing is said, and all goes on.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// Prints one message, for people as `text` has it.
    pub(crate) fn show<M: Message + Name>(
        &mut self,
        message: &M,
        name: &str,
        text: impl FnOnce(Paint, bool) -> String,
    ) -> Result<(), Failure> {
        self.show_value(|| json::of(message), &format!("{name}\n"), text)
    }

    /// As [`Self::show`], of what is no message of the control plane.
    pub(crate) fn show_value(
        &mut self,
        value: impl FnOnce() -> serde_json::Value,
        names: &str,
        text: impl FnOnce(Paint, bool) -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => text(self.out, false),
            Format::Wide => text(self.out, true),
            Format::Json => pretty(&value())?,
            Format::Yaml => yaml(&value())?,
            Format::Name => names.to_owned(),
        };
        self.print(&text)
    }
}

fn pretty(json: &serde_json::Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(json)
        .map_err(|error| Failure::local("cannot print it as JSON", error))?;
    Ok(text + "\n")
}

fn yaml(json: &serde_json::Value) -> Result<String, Failure> {
    serde_saphyr::to_string(json).map_err(|error| Failure::local("cannot print it as YAML", error))
}
