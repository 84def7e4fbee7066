//! Colours of the output, and the meanings that they express.

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::Color;

/// Meaning of a word, which selects its colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    /// In progress, without a result yet.
    Busy,
    /// Needs the attention of an operator.
    Warn,
    Dim,
}

/// Returns the tone of a status, an outcome or a presence.
pub(crate) fn tone(word: &str) -> Tone {
    match word {
        "SUCCESS" | "CLOSED" | "ACTIVE" | "DONE" => Tone::Good,
        "FAILED" | "HALTED" | "HALTING" | "TIMEOUT" | "UNDELIVERED" | "REJECTED" | "UNKNOWN"
        | "NOT_RETURNED" => Tone::Bad,
        "RUNNING" | "OPEN" => Tone::Busy,
        "STOPPED" | "STOPPING" | "REFUSED" => Tone::Warn,
        "SKIPPED" | "PENDING" | "WAITING" | "SHUTOFF" | "RETIRED" => Tone::Dim,
        _ => Tone::Plain,
    }
}

impl Tone {
    /// Returns the colour in a table; `None` for plain text.
    pub(crate) const fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Bad => Some(Color::Red),
            Self::Busy => Some(Color::Cyan),
            Self::Warn => Some(Color::Yellow),
            Self::Dim => Some(Color::DarkGrey),
        }
    }

    const fn style(self) -> Style {
        let color = match self {
            Self::Plain => return Style::new(),
            Self::Good => AnsiColor::Green,
            Self::Bad => AnsiColor::Red,
            Self::Busy => AnsiColor::Cyan,
            Self::Warn => AnsiColor::Yellow,
            Self::Dim => AnsiColor::BrightBlack,
        };
        color.on_default()
    }
}

/// Colour setting of an output stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Palette {
    pub(crate) colored: bool,
}

impl Palette {
    /// Detects the setting of a stream. Colours are off with `--no-color`, with NO_COLOR, and
    /// without a terminal.
    pub(crate) fn of(stream: &impl RawStream, no_color: bool) -> Self {
        Self { colored: !no_color && AutoStream::choice(stream) != ColorChoice::Never }
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colored || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }

    /// Paints a word in the colour of its tone.
    pub(crate) fn word(self, word: &str) -> String {
        self.paint(tone(word), word)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        if !self.colored {
            return text.to_owned();
        }
        let style = Style::new().bold();
        format!("{style}{text}{style:#}")
    }
}
