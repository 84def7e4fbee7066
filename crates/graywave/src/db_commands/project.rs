//! The project of a command, and formatting of shared values.

use chrono::Utc;
use clap::Args;
use cli::{DatabaseFormat, plain_table};
use control::Actor;
use domain::{Timestamp, ids::ProjectId};
use serde_json::Value;

/// Project of a command.
#[derive(Debug, Args)]
pub(crate) struct Project {
    /// Project id
    #[arg(long = "project", value_name = "ID", env = "GRAYWAVE_PROJECT")]
    pub(super) id: ProjectId,
}

/// Token of a project.
#[derive(Debug, Args)]
pub(crate) struct TokenArg {
    /// Token id, as listed
    pub(super) token_id: String,
    #[command(flatten)]
    pub(super) project: Project,
}

impl Project {
    /// Returns the actor for the audit: the command line, in this project.
    pub(super) fn actor(&self) -> Actor<'_> {
        Actor::Database(&self.id)
    }
}

/// Format of a list.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ListFormat {
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: DatabaseFormat,
}

impl ListFormat {
    /// Renders rows as a table, or as JSON objects with the names of the columns as keys.
    pub(super) fn render(self, heads: &[&'static str], rows: impl Iterator<Item = Vec<String>>) -> String {
        match self.output {
            DatabaseFormat::Table => plain_table(heads, rows),
            DatabaseFormat::Json => {
                let keys = || heads.iter().map(|head| head.replace(' ', "_"));
                let list: Vec<Value> =
                    rows.map(|row| keys().zip(row.into_iter().map(Value::from)).collect()).collect();
                format!("{:#}\n", Value::from(list))
            }
        }
    }
}

/// Project and format of a list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(super) project: Project,
    #[command(flatten)]
    pub(super) format: ListFormat,
}

pub(super) fn object(value: &Value) -> String {
    format!("{value}\n")
}

pub(super) fn state(expires_at: Option<Timestamp>, revoked_at: Option<Timestamp>) -> String {
    match (revoked_at, expires_at) {
        (Some(at), _) => format!("revoked {}", time(Some(at))),
        (None, Some(at)) if at <= Utc::now() => "expired".to_owned(),
        (None, _) => "active".to_owned(),
    }
}

pub(super) fn time(moment: Option<Timestamp>) -> String {
    moment.map_or_else(|| "never".to_owned(), |moment| moment.format("%Y-%m-%d %H:%M:%S").to_string())
}
