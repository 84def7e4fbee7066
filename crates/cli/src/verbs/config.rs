//! `graywave config`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use super::told::facts;
use crate::{
    Failure, complete,
    connect::{Context, Contexts},
    out::{Cell, Column, Console, Manner, Tone, cell, table},
};

/// What is done with contexts; they are listed when nothing is said.
#[derive(Debug, Clone, Args)]
pub struct ConfigArguments {
    #[command(subcommand)]
    command: Option<ConfigCommand>,
    #[command(flatten)]
    manner: Manner,
}

/// What is done with contexts.
#[derive(Debug, Clone, Subcommand)]
enum ConfigCommand {
    /// List contexts
    Ls,
    /// Let another context count
    Use(ContextNamed),
    /// Show a context, without its token
    Show {
        /// Name of the context; the current one when it is left out
        #[arg(value_name = "CONTEXT", add = ArgValueCandidates::new(complete::contexts))]
        name: Option<String>,
    },
    /// Forget a context and its token
    Rm(ContextNamed),
    /// Print where contexts are kept
    Path,
}

#[derive(Debug, Clone, Args)]
struct ContextNamed {
    /// Name of the context
    #[arg(value_name = "CONTEXT", add = ArgValueCandidates::new(complete::contexts))]
    name: String,
}

pub(super) fn config(arguments: ConfigArguments) -> Result<(), Failure> {
    let mut console = arguments.manner.console();
    match arguments.command.unwrap_or(ConfigCommand::Ls) {
        ConfigCommand::Ls => ls(&mut console),
        ConfigCommand::Use(it) => choose(&console, &it.name),
        ConfigCommand::Show { name } => show(&mut console, name.as_deref()),
        ConfigCommand::Rm(it) => rm(&console, &it.name),
        ConfigCommand::Path => console.print(&format!("{}\n", Contexts::path()?.display())),
    }
}

const COLUMNS: &[Column] =
    &[Column::text("current"), Column::text("context"), Column::text("address"), Column::text("project")];

fn ls(console: &mut Console) -> Result<(), Failure> {
    let contexts = Contexts::load()?;
    let current = contexts.current().map(|(name, _)| name.clone());
    let rows: Vec<Vec<Cell>> = contexts
        .iter()
        .map(|(name, context)| {
            let mark = if current.as_ref() == Some(name) { "*" } else { "" };
            let project = context.project_id.as_deref().unwrap_or_default();
            vec![cell(mark).tone(Tone::Good), cell(name), cell(&context.grpc), cell(project)]
        })
        .collect();
    if rows.is_empty() {
        console.say("there are no contexts: graywave login makes one");
        return Ok(());
    }
    let text = table(COLUMNS, rows.into_iter(), false, console.out);
    console.print(&text)
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
    console.print(&text(name, context))
}

fn text(name: &str, context: &Context) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(String::new, |it| it.display().to_string())
    };
    let token = if context.token.is_some() { "kept, and not shown" } else { "none" };
    facts(&[
        ("context", name.to_owned()),
        ("address", context.grpc.clone()),
        ("project", context.project_id.clone().unwrap_or_default()),
        ("token", token.to_owned()),
        ("CA", path(&context.ca_file)),
        ("cert", path(&context.cert_file)),
        ("key", path(&context.key_file)),
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
