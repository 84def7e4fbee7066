//! Help with commands under headings, and the generated page docs/cli.md.

use clap::Command;

/// Headings of the help and their commands, in order.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Run a rollout", &["run", "preview", "watch"]),
    ("Inspect results", &["attention", "ls", "show", "records", "logs", "failures", "explain", "what-if"]),
    (
        "Intervene",
        &["pause", "resume", "approve", "stop", "retry", "concurrency", "freeze", "unfreeze", "limits"],
    ),
    ("Manage the fleet", &["scripts", "desktops", "agents", "workers", "certificates", "audit"]),
    ("Manage access", &["projects", "principals", "policies", "tokens", "keys", "enrolment-tokens", "can-i"]),
    ("Configure the CLI", &["login", "config", "version", "errors", "completion", "man"]),
    ("Operate a cluster", &CLUSTER),
];

/// Commands that operate a cluster.
pub(crate) const CLUSTER: [&str; 11] = [
    "dev",
    "api",
    "scheduler",
    "worker",
    "migrate",
    "check-config",
    "healthcheck",
    "admin",
    "ca",
    "openapi",
    "help",
];

/// Puts the commands of the help under headings.
pub(crate) fn grouped(command: Command) -> Command {
    let mut groups = String::new();
    for (heading, names) in GROUPS {
        groups.push_str(&format!("{heading}:\n"));
        for name in names {
            let about = match command.find_subcommand(name).and_then(Command::get_about) {
                Some(about) => about.to_string(),
                None if *name == "help" => "Print the help of a command".to_owned(),
                None => continue,
            };
            groups.push_str(&format!("  {name:<17} {about}\n"));
        }
        groups.push('\n');
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

/// Renders docs/cli.md.
pub(crate) fn reference(mut command: Command) -> String {
    command.build();
    let mut text = String::from(INTRODUCTION);
    if let Some(ls) = command.find_subcommand_mut("ls") {
        text.push_str(&format!("\n## Flags of every operator command\n\n```text\n{}\n```\n", common(ls)));
    }
    for (heading, names) in GROUPS {
        text.push_str(&format!("\n## {heading}\n"));
        for name in names.iter().filter(|name| **name != "help") {
            if let Some(command) = command.find_subcommand_mut(name) {
                page(command, "graywave", &mut text);
            }
        }
    }
    text
}

/// Appends the help of a command and of its subcommands.
fn page(command: &mut Command, above: &str, text: &mut String) {
    let name = format!("{above} {}", command.get_name());
    let help = long_help(command);
    let help = without_common(&help);
    text.push_str(&format!("\n### {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        page(below, &name, text);
    }
}

/// Renders the long help independently of the environment and the terminal.
fn long_help(command: &Command) -> String {
    let command = command.clone().mut_args(|argument| argument.hide_env_values(true));
    command.term_width(WIDTH).render_long_help().to_string()
}

/// Returns the lines of a help without the flags that all commands share. The page has those once.
fn without_common(help: &str) -> Vec<&str> {
    let mut is_common = false;
    let lines = help.lines().map(str::trim_end).filter(|line| {
        if !line.starts_with(' ') && line.ends_with(':') {
            is_common = COMMON.contains(line);
        } else if !line.starts_with(' ') && !line.is_empty() {
            is_common = false;
        }
        !is_common
    });
    lines.collect()
}

/// Headings of the flags that all operator commands share.
const COMMON: [&str; 2] = ["Output:", "Connection:"];

/// Returns the help of the shared flags.
fn common(command: &mut Command) -> String {
    let help = long_help(command);
    let from = COMMON.iter().filter_map(|heading| help.find(heading)).min().unwrap_or(help.len());
    let text = help.get(from..).unwrap_or_default();
    let end = text.find("\nExamples:").unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end().to_owned()
}

/// Width of the help in the page, in columns.
const WIDTH: usize = 120;

const INTRODUCTION: &str = "\
# The command line

<!-- Made by `cargo run --bin graywave reference`; a test compares. -->

`graywave` is one binary with the operator commands, which call a scheduler over [gRPC](admin-grpc.md), and the roles of a
cluster. `graywave help COMMAND` prints the text on this page. [migrating.md](migrating.md) compares the commands with
those of other tools.

```console
$ graywave login 127.0.0.1:9090                         # once: prompts for a token and saves it
$ graywave run --canary 5 --fail-threshold 2 --tag pool=finance -- systemctl restart agent
$ graywave watch latest
```

- **Flags** that every command has may precede the command: `graywave -o json ls`. A file named `-` is standard input.
- **Connection**: the first of these applies. 1. Flags. 2. The context of `--context`, without values from elsewhere.
  3. `GRAYWAVE_GRPC`, `GRAYWAVE_TOKEN` and the other variables. 4. The context of `GRAYWAVE_CONTEXT`, or the current
  context. A token is sent only to its own address. For `graywave dev`, `. graywave-data/env` sets the variables.
- **Output**: `-o table`, `wide`, `json`, `yaml` or `name`. JSON and YAML have the fields of the admin service and the
  words of the REST API. Results go to standard output. Progress and notes go to standard error; `--quiet` omits them.
  On a terminal, long lists go through a pager.
- **Names**: the first digits of a task id or a script id are enough if no other id starts with them. A script has a
  name, too. An ambiguous name exits with 2 and lists the candidates. Tables show 12 digits; `-o wide`, `json` and
  `name` have whole ids.
- **Tasks**: `latest` instead of a task id is your newest task, and `latest --any` the newest task of any author.
- **Durations** have units: `90s`, `5m`, `1h30m`.
- **Questions**: `run` on more than 20 desktops in one wave, and `approve`, ask on standard error. `--yes` answers; it is
  required without a terminal. [approval.md](approval.md#what-the-command-line-asks) says more.
- **Times** are in UTC.
- **Colours** appear on terminals only, and not with `--no-color` or `NO_COLOR`. The output of desktops cannot control the
  terminal.
- **Retries**: a command that changes something is retried if it gets no answer. An idempotency key ensures that the change
  happens once.

| exit code | meaning |
|---|---|
| 0 | The command succeeded. A followed rollout succeeded on every target. |
| 1 | A followed rollout ended with failures, a local or internal error occurred, or the user declined a question. |
| 2 | The command line or a file is invalid, or a question has neither a terminal nor `--yes`. |
| 3 | The gate halted the followed rollout. |
| 4 | The followed rollout was stopped, or expired. |
| 5 | The control plane refused a valid request: not allowed, against a guardrail, not found, or in conflict. |
| 6 | The control plane is unreachable. |
| 130 | Detached by Ctrl-C or a signal. The rollout continues. |
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    #[test]
    fn every_command_stands_under_one_heading() {
        let command = commands::command();
        command.clone().debug_assert();
        let mut placed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        placed.retain(|name| *name != "help");
        placed.sort_unstable();
        let visible = command.get_subcommands().filter(|it| !it.is_hide_set());
        let mut there: Vec<&str> = visible.map(Command::get_name).collect();
        there.sort_unstable();
        assert_eq!(placed, there);
    }

    #[test]
    fn example_lines_fit_in_80_columns() {
        fn check(command: &Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&commands::command());
    }

    #[test]
    fn docs_cli_md_is_what_the_commands_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(commands::command()),
            "docs/cli.md is out of date: cargo run --bin graywave reference > docs/cli.md"
        );
    }
}
