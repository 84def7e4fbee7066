//! `graywave completion`: what a shell needs to complete our command line.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Put the line of your shell into its startup file, so that it stays right after an upgrade:
  bash    source <(graywave completion bash)           ~/.bashrc
  zsh     source <(graywave completion zsh)            ~/.zshrc, behind compinit
  fish    graywave completion fish | source            ~/.config/fish/config.fish
Ids of tasks, desktops, scripts and workers are asked for at the control plane of the current context.")]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The variable by which the shell asks.
pub(crate) const ASKED_BY: &str = "GRAYWAVE_COMPLETE";

/// What the shell is to read.
pub(crate) fn registration(arguments: &CompletionArguments) -> anyhow::Result<String> {
    let name = match arguments.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(name).context("no such shell")?;
    let mut text = Vec::new();
    shell.write_registration(ASKED_BY, "graywave", "graywave", "graywave", &mut text)?;
    Ok(String::from_utf8(text)?)
}
