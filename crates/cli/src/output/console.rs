//! The console of a command: the result on standard output, all else on standard error.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use prost::{Message, Name};

use super::{color::Palette, json, writer::Writer};
use crate::Error;

/// An output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Main columns, aligned
    #[default]
    Table,
    /// All columns, aligned
    Wide,
    /// Every field, for programs
    Json,
    /// Every field, for programs and people
    Yaml,
    /// Ids only, one per line
    Name,
}

/// Output flags.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OutputArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT", help_heading = HEADING)]
    output: Format,
    /// Print only errors to standard error
    #[arg(long, short, help_heading = HEADING)]
    quiet: bool,
    /// Print no colours (NO_COLOR) [default: colours on terminals only]
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    no_color: bool,
    /// Print long lists without the pager (GRAYWAVE_PAGER, PAGER, or less)
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    no_pager: bool,
}

const HEADING: &str = "Output";

impl OutputArgs {
    pub(crate) fn console(&self) -> Console {
        Console {
            format: self.output,
            quiet: self.quiet,
            out: Palette::of(&std::io::stdout(), self.no_color),
            err: Palette::of(&std::io::stderr(), self.no_color),
            may_page: !self.no_pager && std::io::stdout().is_terminal(),
            writer: Writer::Stdout,
        }
    }
}

/// The output streams of a command.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    /// Colours of standard output.
    pub(crate) out: Palette,
    /// Colours of standard error.
    pub(crate) err: Palette,
    may_page: bool,
    writer: Writer,
}

impl Console {
    /// Sends all further output through the pager if it has more lines than the terminal.
    pub(crate) fn paged(&mut self) {
        if self.may_page {
            self.writer = Writer::pager();
        }
    }

    /// Reports whether a pager owns the terminal, or may soon; nothing else may write to the
    /// terminal then.
    pub(crate) fn is_paged(&self) -> bool {
        matches!(self.writer, Writer::Pager(_) | Writer::Short { .. })
    }

    /// Prints to standard output.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Error> {
        self.writer.write(text)
    }

    /// Prints the output that needs no pager, or waits for the pager to end.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.writer.finish()
    }

    /// Makes a console that captures its output.
    #[cfg(test)]
    pub(crate) fn in_memory(format: Format) -> Self {
        let (out, err) = (Palette::default(), Palette::default());
        Self { format, quiet: true, out, err, may_page: false, writer: Writer::Kept(String::new()) }
    }

    #[cfg(test)]
    pub(crate) fn captured(&self) -> String {
        match &self.writer {
            Writer::Kept(text) => text.clone(),
            Writer::Stdout | Writer::Short { .. } | Writer::Pager(_) => String::new(),
        }
    }

    /// Prints a line to standard error, unless `--quiet` is set. A closed stream is ignored.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// Prints one message; `text` renders it for the table formats.
    pub(crate) fn show<M: Message + Name>(
        &mut self,
        message: &M,
        name: &str,
        text: impl FnOnce(Palette, bool) -> String,
    ) -> Result<(), Error> {
        self.show_value(|| json::of(message), &format!("{name}\n"), text)
    }

    /// Prints a value that is not a message of the control plane; `text` renders it for the table
    /// formats.
    pub(crate) fn show_value(
        &mut self,
        value: impl FnOnce() -> serde_json::Value,
        names: &str,
        text: impl FnOnce(Palette, bool) -> String,
    ) -> Result<(), Error> {
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

pub(super) fn pretty(json: &serde_json::Value) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(json)
        .map_err(|error| Error::local("cannot render the output as JSON", error))?;
    Ok(text + "\n")
}

pub(super) fn yaml(json: &serde_json::Value) -> Result<String, Error> {
    serde_saphyr::to_string(json).map_err(|error| Error::local("cannot render the output as YAML", error))
}
