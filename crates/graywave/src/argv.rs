//! Command-line arguments before parsing.

use std::{ffi::OsString, io::Write as _};

use clap::{Command, error::ErrorKind};

use crate::suggest::suggest;

/// Flags of all operator commands that may precede the command, as in other tools. These take a
/// value.
const WITH_VALUE: [&str; 8] =
    ["-o", "--output", "--context", "--grpc", "--token", "--ca-file", "--cert-file", "--key-file"];
const WITHOUT_VALUE: [&str; 4] = ["-q", "--quiet", "--no-color", "--no-pager"];

/// Moves flags that precede the command to its end.
pub(crate) fn reorder(words: Vec<OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut ordered: Vec<OsString> = words.next().into_iter().collect();
    let mut early = Vec::new();
    let mut rest: Vec<OsString> = words.collect();
    while let Some(taken) = rest.first().map(|word| taken(&word.to_string_lossy())).filter(|taken| *taken > 0)
    {
        early.extend(rest.drain(..taken.min(rest.len())));
    }
    // Arguments after `--` belong to the script command and stay there.
    let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
    let behind = rest.split_off(end);
    ordered.extend(rest.into_iter().chain(early).chain(behind));
    ordered
}

/// Returns the number of arguments that a leading flag takes. 0 if the flag may not precede the
/// command.
fn taken(word: &str) -> usize {
    let is_one = |flag: &&str| word.strip_prefix(*flag).is_some_and(|behind| behind.starts_with('='));
    if WITHOUT_VALUE.contains(&word) || WITH_VALUE.iter().any(is_one) {
        return 1;
    }
    if WITH_VALUE.contains(&word) { 2 } else { 0 }
}

/// Prints a parse error with its hints, and exits.
pub(crate) fn exit(mut error: clap::Error, words: &[OsString], command: &Command) -> ! {
    let suggestions = suggest(&mut error, words, command);
    drop(error.print());
    for hint in suggestions.into_iter().chain(tip(error.kind(), words)) {
        drop(writeln!(std::io::stderr(), "  try: {hint}"));
    }
    std::process::exit(error.exit_code())
}

/// Returns a hint for a bare command in place of a file.
fn tip(kind: ErrorKind, words: &[OsString]) -> Option<String> {
    let verb = words.get(1)?.to_str().filter(|verb| ["run", "preview"].contains(verb))?;
    let is_bare = kind == ErrorKind::UnknownArgument && !words.iter().any(|word| word == "--");
    is_bare.then(|| format!("graywave {verb} ... -- COMMAND: a command goes after --"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let ordered = reorder(words).into_iter().map(|word| word.into_string().unwrap());
        ordered.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flags_in_front_are_those_of_the_command() {
        assert_eq!(ordered("graywave -o json ls"), "graywave ls -o json");
        assert_eq!(
            ordered("graywave --context=prod -q desktops ls"),
            "graywave desktops ls --context=prod -q"
        );
        assert_eq!(ordered("graywave -q run --all -- ls -o x"), "graywave run --all -q -- ls -o x");
        for same in [
            "graywave",
            "graywave ls -o json",
            "graywave --config f dev",
            "graywave --help",
            "graywave run -- -q",
        ] {
            assert_eq!(ordered(same), same);
        }
        assert_eq!(ordered("graywave -o"), "graywave -o");
    }

    #[test]
    fn a_command_without_its_hyphens_is_guessed() {
        let hint = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            tip(ErrorKind::UnknownArgument, &words)
        };
        assert!(hint("graywave run --all echo hi").unwrap().contains("-- COMMAND"));
        assert_eq!((hint("graywave ls hi"), hint("graywave run --alll -- hi")), (None, None));
    }
}
