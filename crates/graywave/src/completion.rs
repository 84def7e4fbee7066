//! `graywave completion`: shell completion of the command line.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

/// Arguments of `graywave completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Add the line for your shell to its startup file:
  ~/.bashrc                    source <(graywave completion bash)
  ~/.zshrc, after compinit     source <(graywave completion zsh)
  ~/.config/fish/config.fish   graywave completion fish | source
  $PROFILE of PowerShell       graywave completion powershell | Out-String | iex
Ids, names of scripts, tags and pools come from the control plane of the current context.")]
pub(crate) struct CompletionArgs {
    /// Shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Environment variable with which the shell requests completions.
pub(crate) const ASKED_BY: &str = "GRAYWAVE_COMPLETE";

/// Returns the script that the shell evaluates at its start.
pub(crate) fn registration(arguments: &CompletionArgs) -> anyhow::Result<String> {
    let name = match arguments.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(name).context("no such shell")?;
    let mut text = Vec::new();
    shell.write_registration(ASKED_BY, "graywave", "graywave", "graywave", &mut text)?;
    Ok(String::from_utf8(text)?)
}
