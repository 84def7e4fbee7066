//! `graywave desktops`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use proto::{
    admin::{Desktop, GetDesktopRequest, ListDesktopsRequest, Presence},
    word,
};
use tonic::Status;

use super::{
    Common,
    told::{facts, pairs, time},
};
use crate::{
    Failure, complete,
    out::{Cell, Column, Console, Listed, Paging, Paint, cell, pages},
    spec::pair,
};

/// What is done with desktops; they are listed when nothing is said.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DesktopsArguments {
    #[command(flatten)]
    list: ListArguments,
    #[command(subcommand)]
    command: Option<DesktopsCommand>,
}

/// What is done with desktops.
#[derive(Debug, Clone, Subcommand)]
enum DesktopsCommand {
    /// List desktops by id
    Ls(ListArguments),
    /// Show what is known of a desktop
    Show(DesktopArguments),
}

/// Which desktops. All that is given must be so.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave desktops --tag pool=finance --offline
  graywave desktops --pool p1 -o name > ids.txt")]
struct ListArguments {
    /// Only with this tag; repeat it for those with all of them
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Only of one of these pools
    #[arg(long, short, value_name = "ID", value_delimiter = ',')]
    pool: Vec<String>,
    /// Only with this operating system: Linux, Windows, macOS
    #[arg(long, value_name = "NAME", default_value_t, hide_default_value = true)]
    os: String,
    /// Only in this availability zone
    #[arg(long, value_name = "ZONE", default_value_t, hide_default_value = true)]
    zone: String,
    /// Only those that are connected
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Only those that are not
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Args)]
struct DesktopArguments {
    /// Id of the desktop
    #[arg(value_name = "DESKTOP", add = ArgValueCompleter::new(complete::desktops))]
    desktop_id: String,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn desktops(arguments: DesktopsArguments) -> Result<(), Failure> {
    match arguments.command.unwrap_or(DesktopsCommand::Ls(arguments.list)) {
        DesktopsCommand::Ls(it) => ls(it).await,
        DesktopsCommand::Show(it) => show(it).await,
    }
}

fn refused(what: &str, desktop_id: &str, status: &Status) -> Failure {
    let failure = Failure::of(&format!("cannot {what} desktop {desktop_id}"), status);
    match status.code() {
        tonic::Code::NotFound => failure.try_next("graywave desktops"),
        _ => failure,
    }
}

async fn ls(arguments: ListArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let presence = match (arguments.online, arguments.offline) {
        (true, _) => Presence::Active,
        (_, true) => Presence::Shutoff,
        _ => Presence::Unspecified,
    };
    let filter = ListDesktopsRequest {
        tags: arguments.tag.into_iter().collect(),
        desktop_pool_ids: arguments.pool,
        os_type: arguments.os,
        availability_zone: arguments.zone,
        presence: presence.into(),
        ..ListDesktopsRequest::default()
    };
    pages(&mut console, &arguments.paging, "there are no such desktops", async |page_size, page_token| {
        let request = ListDesktopsRequest { page_size, page_token, ..filter.clone() };
        let page = session.desktops().list_desktops(request).await;
        let page = page.map_err(|status| Failure::of("cannot list desktops", &status))?.into_inner();
        Ok((page.desktops, page.next_page_token))
    })
    .await
}

async fn show(arguments: DesktopArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let desktop_id = arguments.desktop_id;
    let request = GetDesktopRequest { desktop_id: desktop_id.clone() };
    let found = session.desktops().get_desktop(request).await;
    let found = found.map_err(|status| refused("show", &desktop_id, &status))?.into_inner();
    print(&mut console, &found.desktop.unwrap_or_default())
}

fn print(console: &mut Console, desktop: &Desktop) -> Result<(), Failure> {
    console.show(desktop, &desktop.desktop_id, |paint, _| text(desktop, paint))
}

fn text(desktop: &Desktop, paint: Paint) -> String {
    facts(&[
        ("desktop", desktop.desktop_id.clone()),
        ("name", desktop.computer_name.clone()),
        (
            "presence",
            format!(
                "{} since {}",
                paint.word(word::<Presence>(desktop.presence)),
                time(desktop.presence_time.as_ref())
            ),
        ),
        ("worker", desktop.worker_id.clone()),
        ("system", desktop.os_type.clone()),
        ("host name", desktop.os_host_name.clone()),
        ("address", desktop.ip_address.clone()),
        ("pool", desktop.desktop_pool_id.clone()),
        ("zone", desktop.availability_zone.clone()),
        ("time zone", desktop.time_zone.clone()),
        ("tags", pairs(&desktop.tags)),
        ("agent", desktop.agent_version.clone()),
        ("first seen", time(desktop.create_time.as_ref())),
    ])
}

impl Listed for Desktop {
    const COLUMNS: &'static [Column] = &[
        Column::text("desktop"),
        Column::text("presence"),
        Column::text("os"),
        Column::text("pool"),
        Column::text("zone"),
        Column::text("tags"),
        Column::text("name").wide(),
        Column::text("address").wide(),
        Column::text("agent").wide(),
        Column::text("worker").wide(),
        Column::text("since").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.desktop_id),
            Cell::word(word::<Presence>(self.presence)),
            cell(&self.os_type),
            cell(&self.desktop_pool_id),
            cell(&self.availability_zone),
            cell(pairs(&self.tags)),
            cell(&self.computer_name),
            cell(&self.ip_address),
            cell(&self.agent_version),
            cell(&self.worker_id),
            cell(time(self.presence_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.desktop_id
    }
}
