//! `graywave desktops`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use domain::limits::{MAX_ENROLMENT_TOKEN_HOURS, MAX_ENROLMENT_TOKEN_USES};
use proto::{
    admin::{
        Containment, CreateEnrolmentTokenRequest, Desktop, GetDesktopRequest, ListDesktopsRequest, Presence,
        RetireDesktopRequest, RetiredFilter, RevokeDesktopRequest, TagDesktopRequest, UnretireDesktopRequest,
    },
    word,
};
use tonic::Status;

use super::CommonArgs;
use crate::{
    Error,
    args::pair,
    completion,
    format::{fact, facts, painted, pairs, time},
    number::number,
    output::{Cell, Column, Console, ListItem, Paging, Palette, cell, pages},
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
    /// Set or remove operator tags, which override the tags of the agent
    Tag(TagArgs),
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
  graywave desktops --prefix fin- --online")]
struct ListArgs {
    /// Only desktops whose id starts with this text
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    prefix: String,
    /// Only desktops with this tag; repeat to require several tags
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Only desktops of these pools; repeat or separate by commas
    #[arg(long, short, value_name = "ID", value_delimiter = ',')]
    pool: Vec<String>,
    /// Only desktops with this operating system: Linux, Windows or macOS
    #[arg(long, value_name = "NAME", value_parser = system)]
    os: Option<String>,
    /// Only desktops in this availability zone
    #[arg(long, value_name = "ZONE", default_value_t, hide_default_value = true)]
    zone: String,
    /// Only connected desktops
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Only disconnected desktops
    #[arg(long)]
    offline: bool,
    /// Include retired desktops
    #[arg(long, conflicts_with = "only_retired")]
    with_retired: bool,
    /// Only retired desktops
    #[arg(long)]
    only_retired: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: CommonArgs,
}

/// Parses an operating system in any letter case, and returns the spelling of the agents.
fn system(text: &str) -> Result<String, String> {
    const SYSTEMS: [&str; 3] = ["Linux", "Windows", "macOS"];
    let known = SYSTEMS.iter().find(|system| system.eq_ignore_ascii_case(text));
    known
        .map(|&it| it.to_owned())
        .ok_or_else(|| format!("invalid operating system {text:?}: expected one of {}", SYSTEMS.join(", ")))
}

/// Arguments of `graywave desktops tag`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave desktops tag desktop-1 ring=early,owner=ann
  graywave desktops tag desktop-1 --remove ring")]
#[group(id = "change", required = true, multiple = true, args = ["set", "remove"])]
struct TagArgs {
    /// Desktop id
    #[arg(value_name = "DESKTOP", add = ArgValueCompleter::new(completion::desktops))]
    desktop_id: String,
    /// Tags to set: ring=early,owner=ann
    #[arg(value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    set: Vec<(String, String)>,
    /// Operator tags to remove, by key; the agent's tag of that key applies again
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    remove: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave desktops enrol`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave desktops enrol --desktop desktop-1 > token
  graywave desktops enrol --uses 500 --expires-in-hours 72 > token

Copy the token to the machine and start its agent with --ca-file and \
--enrolment-token-file. `graywave enrolment-tokens` lists and revokes tokens.")]
struct EnrolArgs {
    /// Desktop id that may enrol [default: any desktop that does not exist yet]
    #[arg(long, value_name = "ID", default_value_t, hide_default_value = true)]
    desktop: String,
    /// Maximum number of desktops that may enrol [default: 1]
    #[arg(long, value_name = "N", value_parser = number(1, MAX_ENROLMENT_TOKEN_USES, 500), conflicts_with = "desktop")]
    uses: Option<i64>,
    /// Lifetime in hours, at most 720 [default: 24]
    #[arg(long, value_name = "HOURS", value_parser = number(1, MAX_ENROLMENT_TOKEN_HOURS, 72))]
    expires_in_hours: Option<i64>,
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
        DesktopsCommand::Tag(it) => tag(it).await,
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
    let presence = match (arguments.online, arguments.offline) {
        (true, _) => Presence::Active,
        (_, true) => Presence::Shutoff,
        _ => Presence::Unspecified,
    };
    let retired = match (arguments.with_retired, arguments.only_retired) {
        (true, _) => RetiredFilter::Included,
        (_, true) => RetiredFilter::Only,
        _ => RetiredFilter::Unspecified,
    };
    let filter = ListDesktopsRequest {
        desktop_id_prefix: arguments.prefix,
        retired: retired.into(),
        tags: arguments.tag.into_iter().collect(),
        desktop_pool_ids: arguments.pool,
        os_type: arguments.os.unwrap_or_default(),
        availability_zone: arguments.zone,
        presence: presence.into(),
        ..ListDesktopsRequest::default()
    };
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

async fn tag(arguments: TagArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let desktop_id = arguments.desktop_id;
    let request = TagDesktopRequest {
        desktop_id: desktop_id.clone(),
        set: arguments.set.into_iter().collect(),
        remove: arguments.remove,
    };
    let tagged = session.desktops().tag_desktop(request).await;
    let tagged = tagged.map_err(|status| refused("tag", &desktop_id, &status))?.into_inner();
    print(&mut console, &tagged.desktop.unwrap_or_default())
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

async fn enrol(arguments: EnrolArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let request = CreateEnrolmentTokenRequest {
        desktop_id: arguments.desktop,
        uses: arguments.uses,
        expires_in_hours: arguments.expires_in_hours,
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

fn print(console: &mut Console, desktop: &Desktop) -> Result<(), Error> {
    console.show(desktop, &desktop.desktop_id, |palette, _| text(desktop, palette))
}

fn retired(desktop: &Desktop) -> String {
    let since = time(desktop.retire_time.as_ref());
    if since.is_empty() { since } else { format!("since {since} by {}", desktop.retired_by) }
}

fn text(desktop: &Desktop, palette: Palette) -> String {
    facts(&[
        fact("desktop", &desktop.desktop_id),
        fact("name", &desktop.computer_name),
        painted(
            "presence",
            format!(
                "{} since {}",
                palette.word(word::<Presence>(desktop.presence)),
                time(desktop.presence_time.as_ref())
            ),
        ),
        fact("worker", &desktop.worker_id),
        fact("system", &desktop.os_type),
        fact("os version", &desktop.os_version),
        fact("containment", word::<Containment>(desktop.containment)),
        fact("host name", &desktop.os_host_name),
        fact("address", &desktop.ip_address),
        fact("pool", &desktop.desktop_pool_id),
        fact("zone", &desktop.availability_zone),
        fact("time zone", &desktop.time_zone),
        fact("tags", pairs(&desktop.tags)),
        fact("operator tags", pairs(&desktop.operator_tags)),
        fact("retired", retired(desktop)),
        fact("agent", &desktop.agent_version),
        fact("first seen", time(desktop.create_time.as_ref())),
    ])
}

impl ListItem for Desktop {
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
            Cell::word(if self.retire_time.is_some() { "RETIRED" } else { word::<Presence>(self.presence) }),
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
