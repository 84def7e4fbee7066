//! The pager: `$GRAYWAVE_PAGER`, else `$PAGER`, else less.

use std::process::{Child, Command, Stdio};

/// Starts the pager. Returns `None` if it is turned off (`PAGER=cat` or empty), cannot be started,
/// or the terminal is dumb.
pub(super) fn start() -> Option<Child> {
    if super::terminal::is_dumb() {
        return None;
    }
    let words = words(std::env::var("GRAYWAVE_PAGER").ok(), std::env::var("PAGER").ok())?;
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Keep colours, keep the screen. Long lines are not folded, so that a table stays a table.
        command.env("LESS", "RXS");
    }
    let pager = command.spawn().ok()?;
    // Ignore Ctrl-C here, because the pager owns the terminal and handles it.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    Some(pager)
}

fn words(own: Option<String>, common: Option<String>) -> Option<Vec<String>> {
    let chosen = own.or(common).unwrap_or_else(|| "less".to_owned());
    match chosen.trim() {
        "" | "cat" => None,
        chosen => shlex::split(chosen).filter(|words| !words.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_variable_wins_and_cat_is_none() {
        let of = |own: Option<&str>, common: Option<&str>| words(own.map(Into::into), common.map(Into::into));
        assert_eq!(of(None, None), Some(vec!["less".to_owned()]));
        assert_eq!(of(Some("most -w"), Some("less")), Some(vec!["most".to_owned(), "-w".to_owned()]));
        assert_eq!((of(None, Some("cat")), of(Some(""), Some("less"))), (None, None));
    }
}
