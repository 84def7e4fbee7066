//! `graywave config`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use domain::limits::CONFIRM_ABOVE;

use crate::{
    Error,
    client::{Context, Contexts, offered},
    format::{fact, facts, many},
    number::number,
    output::{Column, Console, OutputArgs, Tone, cell, table},
};

/// Arguments of `graywave config`; without a subcommand, the contexts are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ConfigArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

/// Subcommands of `graywave config`.
#[derive(Debug, Clone, Subcommand)]
enum ConfigCommand {
    /// List contexts
    #[command(visible_alias = "list")]
    Ls(OutputArgs),
    /// Switch to another context
    Use(ContextArg),
    /// Show a context without its token
    Show {
        /// Context name [default: the current context]
        #[arg(value_name = "CONTEXT", add = ArgValueCandidates::new(offered))]
        name: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Set how many desktops may start in one wave before `graywave run` asks
    ConfirmAbove {
        /// Number of desktops, or `default` (20)
        #[arg(value_name = "N", value_parser = confirm_above)]
        desktops: ConfirmAbove,
        /// Context name [default: the current context]
        #[arg(long = "context", value_name = "NAME", add = ArgValueCandidates::new(offered))]
        name: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a context and its token
    Rm(ContextArg),
    /// Print the path of the contexts file
    Path(OutputArgs),
}

#[derive(Debug, Clone, Args)]
struct ContextArg {
    /// Context name
    #[arg(value_name = "CONTEXT", add = ArgValueCandidates::new(offered))]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn config(arguments: ConfigArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(ConfigCommand::Ls(arguments.output)) {
        ConfigCommand::Ls(output) => ls(&mut output.console()),
        ConfigCommand::Use(it) => choose(&it.output.console(), &it.name),
        ConfigCommand::Show { name, output } => show(&mut output.console(), name.as_deref()),
        ConfigCommand::ConfirmAbove { desktops, name, output } => {
            ask_above(&output.console(), desktops, name.as_deref())
        }
        ConfigCommand::Rm(it) => rm(&it.output.console(), &it.name),
        ConfigCommand::Path(output) => path(&mut output.console()),
    }
}

/// Number of desktops; `None` for the default.
#[derive(Debug, Clone, Copy)]
struct ConfirmAbove(Option<u32>);

fn confirm_above(text: &str) -> Result<ConfirmAbove, String> {
    match text {
        "default" => Ok(ConfirmAbove(None)),
        text => {
            let desktops = number(0, u32::MAX, 50)(text).map_err(|error| format!("{error}, or `default`"))?;
            Ok(ConfirmAbove(Some(desktops)))
        }
    }
}

fn ask_above(console: &Console, desktops: ConfirmAbove, name: Option<&str>) -> Result<(), Error> {
    let mut contexts = Contexts::load()?;
    let name = contexts.set_confirm_above(name, desktops.0)?;
    contexts.save()?;
    let desktops = desktops.0.unwrap_or(CONFIRM_ABOVE);
    console.say(&format!("Context \"{name}\": graywave run asks above {desktops} desktops in one wave"));
    Ok(())
}

fn path(console: &mut Console) -> Result<(), Error> {
    let path = Contexts::path()?.display().to_string();
    let line = format!("{path}\n");
    console.show_value(|| serde_json::json!({"path": path}), &line, |_, _| line.clone())
}

const COLUMNS: &[Column] =
    &[Column::text("current"), Column::text("context"), Column::text("address"), Column::text("project")];

fn ls(console: &mut Console) -> Result<(), Error> {
    let contexts = Contexts::load()?;
    let current = contexts.current().map(|(name, _)| name.clone());
    let is_current = |name: &String| current.as_ref() == Some(name);
    let value = || contexts.iter().map(|(name, context)| value(name, context, is_current(name))).collect();
    let names: String = contexts.iter().map(|(name, _)| format!("{name}\n")).collect();
    if names.is_empty() {
        console.say("no contexts are saved\n  try: graywave login");
    }
    console.show_value(value, &names, |palette, wide| {
        let rows = contexts.iter().map(|(name, context)| {
            let mark = if is_current(name) { "*" } else { "" };
            let project = context.project_id.as_deref().unwrap_or_default();
            vec![cell(mark).tone(Tone::Good), cell(name), cell(&context.grpc), cell(project)]
        });
        if names.is_empty() { String::new() } else { table(COLUMNS, rows, wide, palette) }
    })
}

/// Renders a context as JSON, without its token.
fn value(name: &str, context: &Context, is_current: bool) -> serde_json::Value {
    serde_json::json!({
        "context": name,
        "is_current": is_current,
        "grpc": context.grpc,
        "project_id": context.project_id,
        "has_token": context.token.is_some(),
        "ca_file": context.ca_file,
        "cert_file": context.cert_file,
        "key_file": context.key_file,
        "confirm_above": context.confirm_above.unwrap_or(CONFIRM_ABOVE),
    })
}

fn choose(console: &Console, name: &str) -> Result<(), Error> {
    let mut contexts = Contexts::load()?;
    contexts.choose(name)?;
    contexts.save()?;
    console.say(&format!("Switched to context \"{name}\""));
    Ok(())
}

fn show(console: &mut Console, name: Option<&str>) -> Result<(), Error> {
    let contexts = Contexts::load()?;
    let found = match name {
        Some(name) => Some(contexts.find(name)?),
        None => contexts.current(),
    };
    let Some((name, context)) = found else {
        return Err(Error::misused("no context is selected")
            .try_next("graywave config use NAME")
            .try_next("graywave login"));
    };
    let is_current = contexts.current().is_some_and(|(current, _)| current == name);
    console.show_value(|| value(name, context, is_current), &format!("{name}\n"), |_, _| text(name, context))
}

fn text(name: &str, context: &Context) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(String::new, |it| it.display().to_string())
    };
    let token = if context.token.is_some() { "saved (hidden)" } else { "none" };
    facts(&[
        fact("context", name),
        fact("address", &context.grpc),
        fact("project", context.project_id.clone().unwrap_or_default()),
        fact("token", token),
        fact("CA", path(&context.ca_file)),
        fact("cert", path(&context.cert_file)),
        fact("key", path(&context.key_file)),
        fact("asks above", many(context.confirm_above.unwrap_or(CONFIRM_ABOVE), "desktop")),
    ])
}

fn rm(console: &Console, name: &str) -> Result<(), Error> {
    let mut contexts = Contexts::load()?;
    contexts.remove(name)?;
    contexts.save()?;
    console.say(&format!("Removed context \"{name}\"; its token stays valid until `graywave tokens revoke`"));
    Ok(())
}
