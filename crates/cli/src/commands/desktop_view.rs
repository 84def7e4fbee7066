//! A desktop as text and as a row of a list.

use proto::{
    admin::{Containment, Desktop, Presence},
    word,
};

use crate::{
    Error,
    format::{fact, facts, painted, pairs, time},
    output::{Cell, Column, Console, ListItem, Palette, cell},
};

/// Prints one desktop.
pub(super) fn print(console: &mut Console, desktop: &Desktop) -> Result<(), Error> {
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
        Column::text("agent"),
        Column::text("pool"),
        Column::text("zone"),
        Column::text("tags"),
        Column::text("name").wide(),
        Column::text("address").wide(),
        Column::text("worker").wide(),
        Column::text("since").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.desktop_id),
            Cell::word(if self.retire_time.is_some() { "RETIRED" } else { word::<Presence>(self.presence) }),
            cell(&self.os_type),
            cell(&self.agent_version),
            cell(&self.desktop_pool_id),
            cell(&self.availability_zone),
            cell(pairs(&self.tags)),
            cell(&self.computer_name),
            cell(&self.ip_address),
            cell(&self.worker_id),
            cell(time(self.presence_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.desktop_id
    }
}
