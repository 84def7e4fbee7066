//! Writer of standard output, direct or through a pager.

use std::{
    io::{self, ErrorKind, Write as _},
    process::Child,
};

use super::pager;
use crate::Error;

#[derive(Debug)]
pub(crate) enum Writer {
    Stdout,
    /// Output that fits on the screen so far. It goes to the pager once it does not.
    Short {
        text: String,
        lines: usize,
        screen: usize,
    },
    Pager(Child),
    /// Buffer in memory, for tests.
    #[cfg(test)]
    Kept(String),
}

impl Writer {
    /// Makes a writer that starts a pager as soon as the output has more lines than the terminal.
    /// The length of lines does not matter.
    pub(crate) fn pager() -> Self {
        match crossterm::terminal::size() {
            // The prompt of the shell takes a line.
            Ok((_, rows)) if rows > 1 => Self::short(usize::from(rows) - 1),
            _ => Self::Stdout,
        }
    }

    const fn short(screen: usize) -> Self {
        Self::Short { text: String::new(), lines: 0, screen }
    }

    pub(crate) fn write(&mut self, more: &str) -> Result<(), Error> {
        match self {
            Self::Stdout => to_stdout(more),
            Self::Short { text, lines, screen } => {
                text.push_str(more);
                *lines += more.matches('\n').count();
                if *lines <= *screen {
                    return Ok(());
                }
                let text = std::mem::take(text);
                *self = pager::start().map_or(Self::Stdout, Self::Pager);
                self.write(&text)
            }
            Self::Pager(child) => match &mut child.stdin {
                Some(stdin) => stdin.write_all(more.as_bytes()).map_err(gone),
                None => Ok(()),
            },
            #[cfg(test)]
            Self::Kept(kept) => {
                kept.push_str(more);
                Ok(())
            }
        }
    }

    /// Prints output that fits on the screen. Else closes the input of the pager and waits until
    /// the user quits it. Later output is discarded by a pager.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match self {
            Self::Short { text, .. } => {
                // `self` is not replaced: `drop` calls this function.
                let text = std::mem::take(text);
                to_stdout(&text)
            }
            Self::Pager(child) => {
                drop(child.stdin.take());
                child.wait().map(|_| ()).map_err(|error| Error::local("the pager failed", error))
            }
            _ => Ok(()),
        }
    }
}

fn to_stdout(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(gone)
}

impl Drop for Writer {
    /// Waits for the pager, so that nothing else writes to its terminal.
    fn drop(&mut self) {
        drop(self.finish());
    }
}

/// Converts a write error. A closed pipe, as with `| head`, is not a failure.
fn gone(error: io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        return Error::silent();
    }
    Error::local("cannot write to standard output", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writer: &Writer) -> Option<usize> {
        match writer {
            Writer::Short { lines, .. } => Some(*lines),
            _ => None,
        }
    }

    #[test]
    fn wide_output_that_fits_by_height_needs_no_pager() {
        let mut writer = Writer::short(3);
        let wide = "x".repeat(1_000);
        writer.write(&format!("{wide}\n{wide}\n")).unwrap();
        writer.write("third\n").unwrap();
        assert_eq!(lines(&writer), Some(3));
        // The test prints nothing.
        if let Writer::Short { text, .. } = &mut writer {
            text.clear();
        }
    }
}
