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
    Pager(Child),
    /// Buffer in memory, for tests.
    #[cfg(test)]
    Kept(String),
}

impl Writer {
    /// Starts a pager and writes to its input; without a pager, writes to standard output.
    pub(crate) fn pager() -> Self {
        pager::start().map_or(Self::Stdout, Self::Pager)
    }

    pub(crate) fn write(&mut self, text: &str) -> Result<(), Error> {
        let written = match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::Pager(child) => match &mut child.stdin {
                Some(stdin) => stdin.write_all(text.as_bytes()),
                None => Ok(()),
            },
            #[cfg(test)]
            Self::Kept(kept) => {
                kept.push_str(text);
                Ok(())
            }
        };
        written.map_err(gone)
    }

    /// Closes the input of the pager and waits until the user quits it. Later output is discarded.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match self {
            Self::Pager(child) => {
                drop(child.stdin.take());
                child.wait().map(|_| ()).map_err(|error| Error::local("the pager failed", error))
            }
            _ => Ok(()),
        }
    }
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
