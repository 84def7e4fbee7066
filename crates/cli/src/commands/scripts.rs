//! `graywave scripts`.

use std::{io::IsTerminal as _, path::PathBuf};

use clap::{Args, Subcommand};
use clap_complete::{ArgValueCompleter, PathCompleter};
use prost_types::FieldMask;
use proto::{
    admin::{
        CreateScriptRequest, DeleteScriptRequest, GetScriptRequest, ListRevisionsRequest, ListScriptsRequest,
        Parameter, ParameterType, Revision, Script, ScriptType, UpdateScriptRequest,
    },
    word,
};
use tonic::Status;

use super::CommonArgs;
use crate::{
    Error,
    actions::idempotency_key,
    args::{Kind, name_of, read_parameters, read_script, script_type, warn_of_line_ends},
    client::repeated,
    format::{fact, facts, time},
    number::number,
    output::{Cell, Column, Console, ListItem, Paging, Palette, Tone, cell, pages},
    sanitize::{sanitize, sanitize_line},
    script_arg::ScriptArg,
};

/// Arguments of `graywave scripts`; without a subcommand, the scripts are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ScriptsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<ScriptsCommand>,
}

/// Subcommands of `graywave scripts`.
#[derive(Debug, Clone, Subcommand)]
enum ScriptsCommand {
    /// List scripts, newest first
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Show a script
    Show(ShowArgs),
    /// Save a file as a new script
    Save(SaveArgs),
    /// Save a new revision of a script; earlier revisions are kept
    Update(UpdateArgs),
    /// List the revisions of a script
    Revisions(RevisionsArgs),
    /// Delete a script; tasks keep the revisions that they use
    Rm(RmArgs),
}

/// Filters of `graywave scripts ls`.
#[derive(Debug, Clone, Args)]
struct ListArgs {
    /// Only scripts with exactly this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only scripts that you saved first
    #[arg(long)]
    mine: bool,
    /// Only scripts of this type
    #[arg(long = "type", value_enum, ignore_case = true, value_name = "TYPE")]
    kind: Option<Kind>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct ShowArgs {
    #[command(flatten)]
    script: ScriptArg,
    /// Revision to show [default: the newest]
    #[arg(long, value_name = "N", value_parser = number(1, i32::MAX, 2))]
    revision: Option<i32>,
    /// Print the content only
    #[arg(long)]
    content: bool,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct SaveArgs {
    /// Script file; - reads standard input
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    file: PathBuf,
    /// Name of the script [default: the file name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Description of the script
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    description: String,
    /// JSON file with the parameters that executions may set: see docs/scripts.md
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    parameters: Option<PathBuf>,
    /// Interpreter [default: by extension .ps1, .bat or .cmd, else SHELL]
    #[arg(long = "type", value_enum, ignore_case = true, value_name = "TYPE")]
    kind: Option<Kind>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
#[group(id = "change", required = true, multiple = true, args = ["file", "name", "description", "parameters"])]
struct UpdateArgs {
    #[command(flatten)]
    script: ScriptArg,
    /// File with the new content; - reads standard input
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    file: Option<PathBuf>,
    /// New name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Description of the script
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// JSON file with the parameters that executions may set; they replace all of the last revision
    #[arg(long, value_name = "FILE", add = ArgValueCompleter::new(PathCompleter::file()))]
    parameters: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct RevisionsArgs {
    #[command(flatten)]
    script: ScriptArg,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct RmArgs {
    #[command(flatten)]
    script: ScriptArg,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn scripts(arguments: ScriptsArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(ScriptsCommand::Ls(arguments.list)) {
        ScriptsCommand::Ls(it) => ls(it).await,
        ScriptsCommand::Show(it) => show(it).await,
        ScriptsCommand::Save(it) => save(it).await,
        ScriptsCommand::Update(it) => update(it).await,
        ScriptsCommand::Revisions(it) => revisions(it).await,
        ScriptsCommand::Rm(it) => rm(it).await,
    }
}

fn refused(what: &str, script_id: &str, status: &Status) -> Error {
    Error::of(&format!("cannot {what} script {script_id}"), status)
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let (name, kind) =
        (arguments.name.unwrap_or_default(), arguments.kind.map_or(ScriptType::Unspecified, script_type));
    pages(&mut console, &arguments.paging, "no matching scripts", async |page_size, page_token| {
        let request = ListScriptsRequest {
            page_size,
            page_token,
            name: name.clone(),
            script_type: kind.into(),
            mine: arguments.mine,
            ..ListScriptsRequest::default()
        };
        let page = session.scripts().list_scripts(request).await;
        let page = page.map_err(|status| Error::of("cannot list scripts", &status))?.into_inner();
        Ok((page.scripts, page.next_page_token))
    })
    .await
}

async fn show(arguments: ShowArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let script_id = arguments.script.id(&session).await?;
    let request =
        GetScriptRequest { script_id: script_id.clone(), revision: arguments.revision.unwrap_or_default() };
    let script =
        session.scripts().get_script(request).await.map_err(|status| refused("show", &script_id, &status))?;
    let script = script.into_inner().script.unwrap_or_default();
    if arguments.content {
        // A terminal gets sanitized text; a file or another program gets the exact content.
        let is_looked_at = std::io::stdout().is_terminal();
        let content = if is_looked_at { sanitize(&script.content) } else { script.content };
        return console.print(&content);
    }
    console.paged();
    print(&mut console, &script, true)?;
    console.finish()
}

async fn save(arguments: SaveArgs) -> Result<(), Error> {
    let (content, kind) = read_script(&arguments.file, arguments.kind)?;
    let parameters = arguments.parameters.as_deref().map(read_parameters).transpose()?.unwrap_or_default();
    let (session, mut console) = arguments.common.open().await?;
    warn_of_line_ends(&console, &name_of(&arguments.file), &content, kind);
    let script = Script {
        name: arguments.name.unwrap_or_else(|| name_of(&arguments.file)),
        description: arguments.description,
        script_type: kind.into(),
        content,
        parameters,
        ..Script::default()
    };
    let request = CreateScriptRequest { script: Some(script), idempotency_key: idempotency_key() };
    let saved = repeated(async || session.scripts().create_script(request.clone()).await).await;
    let saved = saved.map_err(|status| Error::of("cannot save the script", &status))?;
    print(&mut console, &saved.into_inner().script.unwrap_or_default(), false)
}

async fn update(arguments: UpdateArgs) -> Result<(), Error> {
    let content = arguments.file.as_deref().map(|path| read_script(path, None)).transpose()?;
    let content = content.map(|(content, _)| content);
    let parameters = arguments.parameters.as_deref().map(read_parameters).transpose()?;
    let (session, mut console) = arguments.common.open().await?;
    let script_id = arguments.script.id(&session).await?;
    let given = [
        ("content", content.is_some()),
        ("name", arguments.name.is_some()),
        ("description", arguments.description.is_some()),
        ("parameters", parameters.is_some()),
    ];
    let paths = given.iter().filter(|(_, given)| *given).map(|(path, _)| (*path).to_owned()).collect();
    let script = Script {
        script_id: script_id.clone(),
        content: content.unwrap_or_default(),
        name: arguments.name.unwrap_or_default(),
        description: arguments.description.unwrap_or_default(),
        parameters: parameters.unwrap_or_default(),
        ..Script::default()
    };
    let request = UpdateScriptRequest {
        script: Some(script),
        update_mask: Some(FieldMask { paths }),
        idempotency_key: idempotency_key(),
    };
    let updated = repeated(async || session.scripts().update_script(request.clone()).await).await;
    let updated = updated.map_err(|status| refused("update", &script_id, &status))?;
    print(&mut console, &updated.into_inner().script.unwrap_or_default(), false)
}

async fn revisions(arguments: RevisionsArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let script_id = arguments.script.id(&session).await?;
    pages(&mut console, &arguments.paging, "the script has no revisions", async |page_size, page_token| {
        let request = ListRevisionsRequest { script_id: script_id.clone(), page_size, page_token };
        let page = session.scripts().list_revisions(request).await;
        let page = page.map_err(|status| refused("list the revisions of", &script_id, &status))?.into_inner();
        Ok((page.revisions, page.next_page_token))
    })
    .await
}

async fn rm(arguments: RmArgs) -> Result<(), Error> {
    let (session, console) = arguments.common.open().await?;
    let script_id = arguments.script.id(&session).await?;
    let request = DeleteScriptRequest { script_id: script_id.clone() };
    session
        .scripts()
        .delete_script(request)
        .await
        .map_err(|status| refused("delete", &script_id, &status))?;
    console.say(&format!("deleted script {script_id}"));
    Ok(())
}

fn print(console: &mut Console, script: &Script, with_content: bool) -> Result<(), Error> {
    console.show(script, &script.script_id, |palette, _| text(script, palette, with_content))
}

fn text(script: &Script, palette: Palette, with_content: bool) -> String {
    let mut shown = vec![
        fact("script", &script.script_id),
        fact("name", &script.name),
        fact("description", &script.description),
        fact("type", word::<ScriptType>(script.script_type)),
        fact("version", &script.version),
        fact("revision", format!("{}, saved {}", script.revision, time(script.update_time.as_ref()))),
        fact("sha256", script.sha256.clone()),
        fact("created", format!("{} by {}", time(script.create_time.as_ref()), script.created_by)),
    ];
    shown.extend(script.parameters.iter().map(|declared| fact("parameter", parameter(declared))));
    let text = facts(&shown);
    if !with_content {
        return text;
    }
    let content = sanitize(&script.content);
    let end = if content.ends_with('\n') { "" } else { "\n" };
    format!("{text}{}\n{content}{end}", palette.paint(Tone::Dim, "--"))
}

/// Formats a declaration: `ring: CHOICE of a, b; default a; the ring to patch`.
fn parameter(declared: &Parameter) -> String {
    let of = match declared.allowed_values.as_slice() {
        [] => String::new(),
        allowed => format!(" of {}", allowed.join(", ")),
    };
    let default =
        declared.default_value.as_ref().map_or_else(String::new, |value| format!("; default {value}"));
    let required = if declared.is_required { "; required" } else { "" };
    let purpose =
        if declared.description.is_empty() { String::new() } else { format!("; {}", declared.description) };
    let kind = word::<ParameterType>(declared.parameter_type);
    sanitize_line(&format!("{}: {kind}{of}{default}{required}{purpose}", declared.name))
}

impl ListItem for Script {
    const COLUMNS: &'static [Column] = &[
        Column::id("script"),
        Column::text("name"),
        Column::text("type"),
        Column::number("revision"),
        Column::text("saved"),
        Column::text("by"),
        Column::text("version").wide(),
        Column::text("description").wide(),
        Column::text("sha256").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.script_id),
            cell(&self.name),
            cell(word::<ScriptType>(self.script_type)),
            cell(self.revision),
            cell(time(self.update_time.as_ref())),
            cell(&self.created_by),
            cell(&self.version),
            cell(&self.description),
            cell(&self.sha256),
        ]
    }

    fn id(&self) -> &str {
        &self.script_id
    }
}

impl ListItem for Revision {
    const COLUMNS: &'static [Column] =
        &[Column::number("revision"), Column::text("saved"), Column::text("sha256")];

    fn cells(&self) -> Vec<Cell> {
        vec![cell(self.revision), cell(time(self.create_time.as_ref())), cell(&self.sha256)]
    }

    fn id(&self) -> &str {
        &self.sha256
    }
}
