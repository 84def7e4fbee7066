//! Where standard output goes: to whoever reads it, or through a pager.

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
    /// Kept, to be looked at by a test.
    #[cfg(test)]
    Kept(String),
}

impl Writer {
    /// Through a pager, where there is one.
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

    /// Waits until the reader of a pager has seen enough. What is written later is not shown.
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
    /// A terminal that a pager still has is not written to.
    fn drop(&mut self) {
        drop(self.finish());
    }
}

/// Who read has seen enough, as with `| head`: that is no failure.
fn gone(error: io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        return Error::silent();
    }
    Error::local("cannot write to standard output", error)
}
