//! `graywave failures` and `graywave explain`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use domain::Reason;
use proto::{
    admin::{
        ExplainTaskRequest, ExplainTaskResponse, FailureGroup, FailureMember, ListFailureMembersRequest,
        ListFailuresRequest, Outcome,
    },
    word,
};

use super::TaskArgs;
use crate::{
    Error, completion,
    format::{cause, time},
    output::{Cell, Column, ListItem, Paging, Tone, cell, pages},
    sanitize::sanitize,
};

/// Maximum number of desktop ids in a group's table row.
const NAMED: usize = 3;

/// Arguments of `graywave failures`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave failures latest                     largest group first
  graywave failures latest --group FINGERPRINT -o name > failed-alike.txt")]
pub struct FailuresArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// List the desktops of this group, by its fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    group: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

/// Arguments of `graywave explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave explain latest
  graywave explain latest desktop-0007     why it did or did not run")]
pub struct ExplainArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Desktop id; explains this desktop instead of the task
    #[arg(value_name = "DESKTOP", add = ArgValueCompleter::new(completion::desktops))]
    desktop_id: Option<String>,
}

pub(super) async fn failures(arguments: FailuresArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let failed = |status| Error::of(&format!("cannot list the failures of task {task_id}"), &status);
    if let Some(fingerprint_id) = arguments.group {
        return pages(
            &mut console,
            &arguments.paging,
            "the group has no desktops",
            async |page_size, page_token| {
                let request = ListFailureMembersRequest {
                    task_id: task_id.clone(),
                    fingerprint_id: fingerprint_id.clone(),
                    page_size,
                    page_token,
                };
                let page =
                    session.insight().list_failure_members(request).await.map_err(failed)?.into_inner();
                Ok((page.members, page.next_page_token))
            },
        )
        .await;
    }
    pages(&mut console, &arguments.paging, "nothing failed", async |page_size, page_token| {
        let request = ListFailuresRequest { task_id: task_id.clone(), page_size, page_token };
        let page = session.insight().list_failures(request).await.map_err(failed)?.into_inner();
        Ok((page.groups, page.next_page_token))
    })
    .await
}

pub(super) async fn explain(arguments: ExplainArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let desktop_id = arguments.desktop_id.unwrap_or_default();
    let request = ExplainTaskRequest { task_id: task_id.clone(), desktop_id };
    let explained = session.insight().explain_task(request.clone()).await;
    let explained = explained.map_err(|status| not_explained(&request, &status))?.into_inner();
    console.paged();
    console.show(&explained, &task_id, |_, _| steps(&explained))?;
    console.finish()
}

fn not_explained(request: &ExplainTaskRequest, status: &tonic::Status) -> Error {
    let doing = format!("cannot explain task {}", request.task_id);
    let failure = Error::of(&doing, status);
    match failure.reason() {
        Some(Reason::DesktopNotFound) => {
            failure.try_next(format!("graywave records {}: lists its desktops", request.task_id))
        }
        _ => failure,
    }
}

fn steps(explained: &ExplainTaskResponse) -> String {
    let lines = explained.steps.iter().map(|step| {
        let text = sanitize(&step.text);
        format!("{:<19}  {text}\n", time(step.time.as_ref()))
    });
    lines.collect()
}

impl ListItem for FailureGroup {
    const COLUMNS: &'static [Column] = &[
        Column::number("records"),
        Column::number("share"),
        Column::text("outcome"),
        Column::number("exit"),
        Column::text("waves"),
        Column::text("desktops"),
        Column::text("fingerprint").wide(),
        Column::text("record").wide(),
        Column::text("cause"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let waves = self.waves.iter().map(|share| format!("{}:{}", share.wave, share.records));
        let mut desktops = self.desktop_ids.iter().take(NAMED).cloned().collect::<Vec<_>>().join(",");
        if self.desktop_ids.len() > NAMED {
            desktops.push_str(",...");
        }
        vec![
            cell(self.records),
            cell(format!("{:.0}%", self.share_percent)),
            Cell::word(word::<Outcome>(self.outcome)),
            cell(self.exit_code.map_or_else(String::new, |code| code.to_string())),
            cell(waves.collect::<Vec<_>>().join(" ")),
            cell(desktops),
            cell(&self.fingerprint_id).tone(Tone::Dim),
            cell(&self.sample_record_id),
            cell(cause(self)),
        ]
    }

    fn id(&self) -> &str {
        &self.fingerprint_id
    }
}

impl ListItem for FailureMember {
    const COLUMNS: &'static [Column] = &[Column::text("desktop"), Column::number("ordinal")];

    fn cells(&self) -> Vec<Cell> {
        vec![cell(&self.desktop_id), cell(self.ordinal)]
    }

    fn id(&self) -> &str {
        &self.desktop_id
    }
}
