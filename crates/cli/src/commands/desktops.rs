//! `graywave desktops`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use domain::limits::MAX_ENROLMENT_TOKEN_USES;
use proto::admin::{
    CreateEnrolmentTokenRequest, GetDesktopRequest, ListDesktopsRequest, RetireDesktopRequest,
    RevokeDesktopRequest, UnretireDesktopRequest,
};
use tonic::Status;

use super::{CommonArgs, desktop_filter::FilterArgs, desktop_tags, desktop_view::print};
use crate::{
    Error,
    args::pair,
    completion,
    duration::enrolment_hours,
    format::time,
    number::number,
    output::{Paging, pages},
};

/// Arguments of `graywave desktops`; without a subcommand, the desktops are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DesktopsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<DesktopsCommand>,
}

/// Subcommands of `graywave desktops`.
#[derive(Debug, Clone, Subcommand)]
enum DesktopsCommand {
    /// List desktops by id
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Show a desktop
    Show(DesktopArgs),
    /// Set or remove operator tags of one or many desktops; they override the tags of the agent
    Tag(desktop_tags::TagArgs),
    /// Take a desktop out of service; its history is kept
    Retire(DesktopArgs),
    /// Return a retired desktop to service
    Unretire(DesktopArgs),
    /// Revoke all certificates of a desktop and close its connection
    #[command(after_help = "\
Every certificate issued before now is refused, including those of `graywave ca issue`.
To admit the desktop again: graywave desktops enrol --desktop ID")]
    Revoke(DesktopArgs),
    /// Create an enrolment token for a machine and print it once
    Enrol(EnrolArgs),
}

/// Filters of `graywave desktops ls`. A desktop must match all of them.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave desktops --tag pool=finance --offline
  graywave desktops --pool p1 -o name > ids.txt
  graywave desktops --prefix fin- --online
  graywave desktops --outdated        # agents older than the control plane")]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave desktops enrol`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave desktops enrol --desktop desktop-1 > token
  graywave desktops enrol --uses 500 --expires 3d > token

Copy the token to the machine and start its agent with --ca-file and \
--enrolment-token-file. `graywave enrolment-tokens` lists and revokes tokens.")]
pub(super) struct EnrolArgs {
    /// Desktop id that may enrol [default: any desktop that does not exist yet]
    #[arg(long, value_name = "ID", default_value_t, hide_default_value = true)]
    desktop: String,
    /// Maximum number of desktops that may enrol [default: 1]
    #[arg(long, value_name = "N", value_parser = number(1, MAX_ENROLMENT_TOKEN_USES, 500), conflicts_with = "desktop")]
    uses: Option<i64>,
    /// Lifetime in whole hours, at most 720h: 72h or 3d [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = enrolment_hours)]
    expires: Option<i64>,
    /// Pool of the desktops, also if their agents report another [default: as the agent says]
    #[arg(long, value_name = "POOL", default_value_t, hide_default_value = true)]
    pool: String,
    /// Availability zone of the desktops [default: as the agent says]
    #[arg(long, value_name = "ZONE", default_value_t, hide_default_value = true)]
    zone: String,
    /// Operator tags of the desktops: ring=early,owner=ann
    #[arg(long = "tag", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    tags: Vec<(String, String)>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct DesktopArgs {
    /// Desktop id
    #[arg(value_name = "DESKTOP", add = ArgValueCompleter::new(completion::desktops))]
    desktop_id: String,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn desktops(arguments: DesktopsArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(DesktopsCommand::Ls(arguments.list)) {
        DesktopsCommand::Ls(it) => ls(it).await,
        DesktopsCommand::Show(it) => show(it).await,
        DesktopsCommand::Tag(it) => desktop_tags::tag(it).await,
        DesktopsCommand::Retire(it) => retire(it).await,
        DesktopsCommand::Unretire(it) => unretire(it).await,
        DesktopsCommand::Revoke(it) => revoke(it).await,
        DesktopsCommand::Enrol(it) => enrol(it).await,
    }
}

fn refused(what: &str, desktop_id: &str, status: &Status) -> Error {
    Error::of(&format!("cannot {what} desktop {desktop_id}"), status)
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let filter = arguments.filter.request();
    pages(&mut console, &arguments.paging, "no matching desktops", async |page_size, page_token| {
        let request = ListDesktopsRequest { page_size, page_token, ..filter.clone() };
        let page = session.desktops().list_desktops(request).await;
        let page = page.map_err(|status| Error::of("cannot list desktops", &status))?.into_inner();
        Ok((page.desktops, page.next_page_token))
    })
    .await
}

async fn show(arguments: DesktopArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let desktop_id = arguments.desktop_id;
    let request = GetDesktopRequest { desktop_id: desktop_id.clone() };
    let found = session.desktops().get_desktop(request).await;
    let found = found.map_err(|status| refused("show", &desktop_id, &status))?.into_inner();
    print(&mut console, &found.desktop.unwrap_or_default())
}

async fn retire(arguments: DesktopArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let desktop_id = arguments.desktop_id;
    let request = RetireDesktopRequest { desktop_id: desktop_id.clone() };
    let retired = session.desktops().retire_desktop(request).await;
    let retired = retired.map_err(|status| refused("retire", &desktop_id, &status))?.into_inner();
    console.say(&format!("retired; to undo: graywave desktops unretire {desktop_id}"));
    print(&mut console, &retired.desktop.unwrap_or_default())
}

async fn unretire(arguments: DesktopArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let desktop_id = arguments.desktop_id;
    let request = UnretireDesktopRequest { desktop_id: desktop_id.clone() };
    let back = session.desktops().unretire_desktop(request).await;
    let back = back.map_err(|status| refused("unretire", &desktop_id, &status))?.into_inner();
    console.say(&format!(
        "if agents use certificates, enrol it again: graywave desktops enrol --desktop {desktop_id}"
    ));
    print(&mut console, &back.desktop.unwrap_or_default())
}

async fn revoke(arguments: DesktopArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let desktop_id = arguments.desktop_id;
    let request = RevokeDesktopRequest { desktop_id: desktop_id.clone() };
    let revoked = session.desktops().revoke_desktop(request).await;
    let revoked = revoked.map_err(|status| refused("revoke", &desktop_id, &status))?.into_inner();
    console.show(&revoked, &desktop_id, |_, _| {
        let connection = match (revoked.was_connected, revoked.is_known) {
            (true, _) => "; its connection is closing",
            (false, true) => "",
            (false, false) => "; no desktop with this id has ever connected",
        };
        format!(
            "revoked desktop {desktop_id}: {} enrolment certificates, and all certificates issued by hand before now{connection}\n",
            revoked.certificates
        )
    })
}

pub(super) async fn enrol(arguments: EnrolArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let request = CreateEnrolmentTokenRequest {
        desktop_id: arguments.desktop,
        uses: arguments.uses,
        expires_in_hours: arguments.expires,
        pool_id: arguments.pool,
        availability_zone: arguments.zone,
        tags: arguments.tags.into_iter().collect(),
    };
    let made = session.enrolment().create_enrolment_token(request).await;
    let failed = |status| {
        Error::with_flags(
            "cannot create an enrolment token",
            &status,
            &[
                ("desktop_id", "--desktop"),
                ("pool_id", "--pool"),
                ("availability_zone", "--zone"),
                ("tags", "--tag"),
            ],
        )
    };
    let made = made.map_err(failed)?.into_inner();
    let terms = made.enrolment_token.clone().unwrap_or_default();
    console.say(&format!("token {}, valid until {}", terms.token_id, time(terms.expire_time.as_ref())));
    console.show(&made, &terms.token_id, |_, _| format!("{}\n", made.secret))
}
