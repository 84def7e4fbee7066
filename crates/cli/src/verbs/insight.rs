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

use super::Common;
use crate::{
    Failure, complete,
    out::{Cell, Column, Listed, Paging, Tone, cell, harmless, pages},
    task_argument::TaskNamed,
    told::time,
};

/// Desktops of a group that are named in a table.
const NAMED: usize = 3;

/// Of which task.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave failures latest                     the largest group first
  graywave failures latest --group SIGNATURE -o name > failed-alike.txt")]
pub struct FailuresArguments {
    #[command(flatten)]
    task: TaskNamed,
    /// The desktops of this group, by its fingerprint
    #[arg(long, value_name = "SIGNATURE")]
    group: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: Common,
}

/// What is explained.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave explain latest
  graywave explain latest desktop-0007     why did it run, or why not?")]
pub struct ExplainArguments {
    #[command(flatten)]
    task: TaskNamed,
    /// One desktop of it
    #[arg(value_name = "DESKTOP", add = ArgValueCompleter::new(complete::desktops))]
    desktop_id: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn failures(arguments: FailuresArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let failed = |status| Failure::of(&format!("cannot list the failures of task {task_id}"), &status);
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

pub(super) async fn explain(arguments: ExplainArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let desktop_id = arguments.desktop_id.unwrap_or_default();
    let request = ExplainTaskRequest { task_id: task_id.clone(), desktop_id };
    let explained = session.insight().explain_task(request.clone()).await;
    let explained = explained.map_err(|status| not_explained(&request, &status))?.into_inner();
    console.paged();
    console.show(&explained, &task_id, |_, _| steps(&explained))?;
    console.finish()
}

fn not_explained(request: &ExplainTaskRequest, status: &tonic::Status) -> Failure {
    let doing = format!("cannot explain task {}", request.task_id);
    let failure = Failure::of(&doing, status);
    match failure.reason() {
        Some(Reason::DesktopNotFound) => {
            failure.try_next(format!("graywave records {}: the desktops that it has", request.task_id))
        }
        _ => failure,
    }
}

fn steps(explained: &ExplainTaskResponse) -> String {
    let lines = explained.steps.iter().map(|step| {
        let text = harmless(&step.text);
        format!("{:<19}  {text}\n", time(step.time.as_ref()))
    });
    lines.collect()
}

impl Listed for FailureGroup {
    const COLUMNS: &'static [Column] = &[
        Column::number("records"),
        Column::number("share"),
        Column::text("outcome"),
        Column::number("exit"),
        Column::text("waves"),
        Column::text("desktops"),
        Column::text("fingerprint").wide(),
        Column::text("record").wide(),
        Column::text("what it printed last"),
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
            cell(self.sample.trim_end().lines().last().unwrap_or_default()),
        ]
    }

    fn id(&self) -> &str {
        &self.fingerprint_id
    }
}

impl Listed for FailureMember {
    const COLUMNS: &'static [Column] = &[Column::text("desktop"), Column::number("ordinal")];

    fn cells(&self) -> Vec<Cell> {
        vec![cell(&self.desktop_id), cell(self.ordinal)]
    }

    fn id(&self) -> &str {
        &self.desktop_id
    }
}
