//! Colours, where they are wanted.

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::Color;

/// What a word means for who reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    /// It is not decided yet.
    Busy,
    /// Somebody should look.
    Warn,
    Dim,
}

/// What a status, an outcome or a presence means.
pub(crate) fn tone(word: &str) -> Tone {
    match word {
        "SUCCESS" | "CLOSED" | "ACTIVE" | "DONE" => Tone::Good,
        "FAILED" | "HALTED" | "HALTING" | "TIMEOUT" | "UNDELIVERED" | "REJECTED" | "UNKNOWN" => Tone::Bad,
        "RUNNING" | "OPEN" => Tone::Busy,
        "STOPPED" | "STOPPING" | "REFUSED" => Tone::Warn,
        "SKIPPED" | "PENDING" | "WAITING" | "SHUTOFF" | "RETIRED" => Tone::Dim,
        _ => Tone::Plain,
    }
}

impl Tone {
    /// In a table.
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

/// Whether a stream gets colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Palette {
    pub(crate) colored: bool,
}

impl Palette {
    /// None where they are not wanted, where NO_COLOR says so, and where nobody looks.
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

    /// A word in the colour of what it means.
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
