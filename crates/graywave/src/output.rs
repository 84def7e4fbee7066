//! Standard output.

use std::io::Write as _;

use anyhow::Context as _;

/// Standard output is for what was asked for; everything else goes to standard error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output is closed")
}
