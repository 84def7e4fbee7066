//! Suggestions for commands and flags that do not exist: words of other tools first, then words
//! that are one or two letters away.

use std::ffi::OsString;

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Commands of other tools, with the command line that does the same here.
const COMMANDS: [(&[&str], &str); 24] = [
    (&["kill", "abort", "terminate", "end"], "graywave stop TASK"),
    (&["get", "history", "jobs", "executions"], "graywave ls, or graywave show TASK"),
    (&["describe", "info", "inspect"], "graywave show TASK"),
    (&["log", "output", "tail"], "graywave logs DESKTOP"),
    (&["exec", "execute", "apply", "start", "submit", "rollout", "deploy", "shell"], "graywave run"),
    (&["plan", "diff", "dry-run"], "graywave preview, or graywave run --dry-run"),
    (&["follow", "monitor", "top", "attach"], "graywave watch TASK"),
    (&["continue", "unpause"], "graywave resume TASK"),
    (&["rerun", "redo", "restart"], "graywave retry TASK"),
    (&["confirm", "promote"], "graywave approve TASK"),
    (&["why", "debug"], "graywave explain TASK"),
    (&["results", "result", "report"], "graywave records TASK"),
    (&["script", "save"], "graywave scripts"),
    (
        &["hosts", "nodes", "machines", "inventory", "instances", "devices", "targets", "desktop"],
        "graywave desktops",
    ),
    (&["label", "tag"], "graywave desktops tag DESKTOP KEY=VALUE"),
    (&["enrol", "enroll", "register"], "graywave desktops enrol"),
    (&["drain", "cordon"], "graywave workers drain WORKER"),
    (&["auth", "signin", "connect"], "graywave login"),
    (&["logout", "signout"], "graywave config rm NAME"),
    (&["context", "contexts", "ctx", "profile", "profiles", "configure"], "graywave config"),
    (&["users", "user", "accounts"], "graywave principals"),
    (&["server", "serve", "controller"], "graywave scheduler, graywave api and graywave worker"),
    (&["init", "up", "demo"], "graywave dev"),
    (&["upgrade-schema", "db"], "graywave migrate"),
];

/// Flags of other tools and of the API, with the flag that means the same here. A flag is suggested
/// for commands that have it.
const FLAGS: [(&[&str], &str, &str); 19] = [
    (&["--name"], "script", "--script NAME: a saved script by its name"),
    (&["--no-wait", "--async", "--background", "-d"], "detach", "--detach: do not follow the rollout"),
    (&["--selector", "-l", "--label", "--filter"], "tag", "--tag KEY=VALUE"),
    (
        &["--hosts", "--host", "--target", "--targets", "--inventory", "--instance-ids", "-i"],
        "desktop",
        "--desktop ID",
    ),
    (&["--forks", "--parallel", "--concurrency", "--parallelism"], "max-concurrency", "--max-concurrency N"),
    (
        &["--max-errors", "--max-failures", "--max-fail", "--max-fail-percentage"],
        "total-fail-threshold",
        "--total-fail-threshold 2, or 2%/50",
    ),
    (&["--serial", "--batch", "--batch-size", "--steps"], "waves", "--waves 5,10%,rest"),
    (&["--become-user", "--user", "--as"], "run-as", "--run-as USER"),
    (&["--soak-seconds", "--pause"], "soak", "--soak 10m"),
    (&["--delivery-timeout-seconds", "--connect-timeout"], "delivery-timeout", "--delivery-timeout 8h"),
    (&["--expires-in-days", "--expires-in-hours", "--ttl", "--duration"], "expires", "--expires 30d, or 12h"),
    (&["--follow"], "watch", "--watch"),
    (&["--env", "-e", "--extra-vars", "--set"], "param", "--param NAME=VALUE"),
    (&["--assume-yes", "--force", "--auto-approve", "--no-confirm"], "yes", "--yes"),
    (&["--format", "--json", "--yaml"], "output", "-o json, yaml, wide or name"),
    (&["--namespace", "-n", "--profile", "--region"], "context", "--context NAME: a context has one project"),
    (&["--server", "--address", "--url", "--endpoint", "--port"], "grpc", "--grpc HOST:PORT"),
    (&["--api-key", "--password", "--bearer"], "token", "GRAYWAVE_TOKEN=TOKEN, or graywave login"),
    (&["--cacert", "--ca", "--certificate-authority"], "ca-file", "--ca-file FILE"),
];

/// Flags of former or other command lines that no flag replaces.
///
/// Each is for the named top-level commands, or for all if none is named.
const COMMAND_LINES: [(&str, &[&str], &str); 4] = [
    ("--dry-run", &[], "graywave preview, or graywave run --dry-run"),
    (
        "--project",
        &["principals", "policies", "keys", "tokens", "enrolment-tokens"],
        "graywave admin ...: the same command on the database, of any project",
    ),
    ("--project", &[], "--context NAME: a context has one project"),
    ("--principal", &["tokens", "keys"], "PRINCIPAL without a flag: graywave tokens create ann"),
];

/// Removes the suggestions of the parser from an error, and returns better ones.
pub(crate) fn suggest(error: &mut clap::Error, words: &[OsString], command: &Command) -> Vec<String> {
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::Suggested] {
        // Without another tip, the parser explains how to pass the word as a value.
        error.remove(kind);
    }
    let inner = innermost(command, words);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if let Some(word) = text(ContextKind::InvalidSubcommand) {
        return for_command(&word, inner, std::ptr::eq(inner, command));
    }
    // Other errors name a flag that exists.
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    let flag = text(ContextKind::InvalidArg).filter(|flag| is_unknown && flag.starts_with('-'));
    let outer = words.iter().skip(1).find_map(|word| word.to_str().filter(|word| !word.starts_with('-')));
    flag.map_or_else(Vec::new, |flag| for_flag(&flag, outer.unwrap_or_default(), inner))
}

/// Finds the subcommand that the first words name. An argument ends them, a flag does not.
fn innermost<'a>(command: &'a Command, words: &[OsString]) -> &'a Command {
    let mut inner = command;
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        match inner.find_subcommand(word) {
            Some(found) => inner = found,
            None if word.starts_with('-') && word != "--" => {}
            None => break,
        }
    }
    inner
}

fn for_command(word: &str, command: &Command, is_outermost: bool) -> Vec<String> {
    let word = word.to_lowercase();
    let known = COMMANDS.iter().filter(|_| is_outermost).find(|(words, _)| words.contains(&word.as_str()));
    if let Some((_, line)) = known {
        return vec![(*line).to_owned()];
    }
    let names = command
        .get_subcommands()
        .filter(|it| !it.is_hide_set())
        .flat_map(|it| std::iter::once(it.get_name()).chain(it.get_visible_aliases()).map(ToOwned::to_owned));
    close(&word, names)
}

fn for_flag(flag: &str, outer: &str, command: &Command) -> Vec<String> {
    let flag = flag.split(['=', ' ']).next().unwrap_or(flag);
    let longs = || command.get_arguments().filter_map(clap::Arg::get_long);
    let known = FLAGS.iter().find(|(flags, long, _)| flags.contains(&flag) && longs().any(|it| it == *long));
    if let Some((_, _, text)) = known {
        return vec![(*text).to_owned()];
    }
    let fits = |of: &[&str]| of.is_empty() || of.contains(&outer);
    if let Some((_, _, line)) = COMMAND_LINES.iter().find(|(known, of, _)| *known == flag && fits(of)) {
        return vec![(*line).to_owned()];
    }
    let visible = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let names = visible.flat_map(|it| it.get_long_and_visible_aliases().unwrap_or_default());
    close(flag, names.map(|long| format!("--{long}")))
}

/// Returns the candidates that are at most one edit away, or two for a word of more than six
/// letters; the closest first, at most three.
fn close(word: &str, candidates: impl Iterator<Item = String>) -> Vec<String> {
    let letters = word.trim_start_matches('-').chars().count();
    let most = if letters > 6 { 2 } else { 1 };
    let mut found: Vec<(usize, String)> = candidates
        .map(|it| (strsim::damerau_levenshtein(word, &it), it))
        .filter(|(distance, _)| *distance <= most && letters > 1)
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(3).map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    /// Returns the suggestions for a command line.
    fn suggested(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let command = commands::command();
        let mut error = command.clone().try_get_matches_from(&words).unwrap_err();
        suggest(&mut error, &words, &command)
    }

    #[test]
    fn words_of_other_tools_lead_to_the_same_command() {
        for (line, expected) in [
            ("graywave kill 01a2", "graywave stop TASK"),
            ("graywave abort 01a2", "graywave stop TASK"),
            ("graywave get tasks", "graywave ls, or graywave show TASK"),
            ("graywave hosts", "graywave desktops"),
            ("graywave logout", "graywave config rm NAME"),
        ] {
            assert_eq!(suggested(line), [expected], "{line}");
        }
    }

    #[test]
    fn flags_of_other_tools_lead_to_a_flag_of_the_command() {
        for (line, expected) in [
            ("graywave run --name patch.sh --all", "--script NAME: a saved script by its name"),
            ("graywave run --selector a=b -- true", "--tag KEY=VALUE"),
            ("graywave run --soak-seconds 10 --all -- true", "--soak 10m"),
            ("graywave ls --format json", "-o json, yaml, wide or name"),
            ("graywave stop 01a2 --dry-run", "graywave preview, or graywave run --dry-run"),
            (
                "graywave tokens create ann --project p",
                "graywave admin ...: the same command on the database, of any project",
            ),
            ("graywave ls --project p", "--context NAME: a context has one project"),
        ] {
            assert_eq!(suggested(line), [expected], "{line}");
        }
    }

    #[test]
    fn misspelt_word_leads_to_the_closest_and_other_words_to_none() {
        assert_eq!(suggested("graywave stpo 01a2"), ["stop"]);
        assert_eq!(suggested("graywave desktops shwo d-1"), ["show"]);
        assert_eq!(suggested("graywave run --canry 5 --all -- true"), ["--canary"]);
        for none in
            ["graywave frobnicate", "graywave ca x", "graywave ls --frobnicate", "graywave ls --limit few"]
        {
            assert_eq!(suggested(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn no_synonym_is_a_command_and_every_suggested_command_exists() {
        let command = commands::command();
        for (words, line) in COMMANDS {
            for word in words {
                assert!(command.find_subcommand(word).is_none(), "{word} is a command");
            }
            let named = line.split("graywave ").skip(1).map(|it| it.split([' ', ',']).next().unwrap());
            named.for_each(|name| assert!(command.find_subcommand(name).is_some(), "{name}: {line}"));
        }
    }
}
