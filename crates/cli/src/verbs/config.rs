//! `graywave config`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::{
    Failure,
    connect::{Context, Contexts, offered},
    out::{Column, Console, Manner, Tone, cell, table},
    told::{fact, facts},
};

/// What is done with contexts; they are listed when nothing is said.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ConfigArguments {
    #[command(flatten)]
    manner: Manner,
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

/// What is done with contexts.
#[derive(Debug, Clone, Subcommand)]
enum ConfigCommand {
    /// List contexts
    Ls(Manner),
    /// Let another context count
    Use(ContextNamed),
    /// Show a context, without its token
    Show {
        /// Name of the context; the current one when it is left out
        #[arg(value_name = "CONTEXT", add = ArgValueCandidates::new(offered))]
        name: Option<String>,
        #[command(flatten)]
        manner: Manner,
    },
    /// Forget a context and its token
    Rm(ContextNamed),
    /// Print where contexts are kept
    Path(Manner),
}

#[derive(Debug, Clone, Args)]
struct ContextNamed {
    /// Name of the context
    #[arg(value_name = "CONTEXT", add = ArgValueCandidates::new(offered))]
    name: String,
    #[command(flatten)]
    manner: Manner,
}

pub(super) fn config(arguments: ConfigArguments) -> Result<(), Failure> {
    match arguments.command.unwrap_or(ConfigCommand::Ls(arguments.manner)) {
        ConfigCommand::Ls(manner) => ls(&mut manner.console()),
        ConfigCommand::Use(it) => choose(&it.manner.console(), &it.name),
        ConfigCommand::Show { name, manner } => show(&mut manner.console(), name.as_deref()),
        ConfigCommand::Rm(it) => rm(&it.manner.console(), &it.name),
        ConfigCommand::Path(manner) => path(&mut manner.console()),
    }
}

fn path(console: &mut Console) -> Result<(), Failure> {
    let path = Contexts::path()?.display().to_string();
    let line = format!("{path}\n");
    console.show_value(|| serde_json::json!({"path": path}), &line, |_, _| line.clone())
}

const COLUMNS: &[Column] =
    &[Column::text("current"), Column::text("context"), Column::text("address"), Column::text("project")];

fn ls(console: &mut Console) -> Result<(), Failure> {
    let contexts = Contexts::load()?;
    let current = contexts.current().map(|(name, _)| name.clone());
    let is_current = |name: &String| current.as_ref() == Some(name);
    let value = || contexts.iter().map(|(name, context)| value(name, context, is_current(name))).collect();
    let names: String = contexts.iter().map(|(name, _)| format!("{name}\n")).collect();
    if names.is_empty() {
        console.say("there are no contexts: graywave login makes one");
    }
    console.show_value(value, &names, |paint, wide| {
        let rows = contexts.iter().map(|(name, context)| {
            let mark = if is_current(name) { "*" } else { "" };
            let project = context.project_id.as_deref().unwrap_or_default();
            vec![cell(mark).tone(Tone::Good), cell(name), cell(&context.grpc), cell(project)]
        });
        if names.is_empty() { String::new() } else { table(COLUMNS, rows, wide, paint) }
    })
}

/// A context for programs, without its token.
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
    })
}

fn choose(console: &Console, name: &str) -> Result<(), Failure> {
    let mut contexts = Contexts::load()?;
    contexts.choose(name)?;
    contexts.save()?;
    console.say(&format!("context {name} counts now"));
    Ok(())
}

fn show(console: &mut Console, name: Option<&str>) -> Result<(), Failure> {
    let contexts = Contexts::load()?;
    let found = match name {
        Some(name) => Some(contexts.find(name)?),
        None => contexts.current(),
    };
    let Some((name, context)) = found else {
        return Err(Failure::misused("no context is chosen").try_next("graywave login"));
    };
    let is_current = contexts.current().is_some_and(|(current, _)| current == name);
    console.show_value(|| value(name, context, is_current), &format!("{name}\n"), |_, _| text(name, context))
}

fn text(name: &str, context: &Context) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(String::new, |it| it.display().to_string())
    };
    let token = if context.token.is_some() { "kept, and not shown" } else { "none" };
    facts(&[
        fact("context", name),
        fact("address", &context.grpc),
        fact("project", context.project_id.clone().unwrap_or_default()),
        fact("token", token),
        fact("CA", path(&context.ca_file)),
        fact("cert", path(&context.cert_file)),
        fact("key", path(&context.key_file)),
    ])
}

fn rm(console: &Console, name: &str) -> Result<(), Failure> {
    let mut contexts = Contexts::load()?;
    contexts.remove(name)?;
    contexts.save()?;
    console.say(&format!(
        "context {name} is forgotten; its token is good until it is revoked: graywave tokens revoke"
    ));
    Ok(())
}
