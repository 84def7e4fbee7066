//! Flags that select desktops, and files of desktop ids.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;
use clap_complete::ArgValueCompleter;
use domain::limits::{MAX_EXECUTION_BODY_BYTES, MAX_TARGETS_PER_TASK};
use proto::admin::{ListDesktopsRequest, TaskSpec};

use super::file_arg;
use crate::{Error, client::Session, completion};

const HEADING: &str = "Desktops";
/// Page size of requests, in desktops.
const PAGE: i32 = 1_000;

/// Flags that select the desktops of a task.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DesktopFlags {
    /// Desktop id; repeat or separate by commas. With --pool: only these desktops of the pool
    #[arg(long, short, value_name = "ID", value_delimiter = ',', help_heading = HEADING,
          visible_alias = "resource-ids", aliases = ["resource_ids", "desktop-ids", "desktop_ids", "desktop-id", "desktop_id"],
          add = ArgValueCompleter::new(completion::desktops))]
    pub(crate) desktop: Vec<String>,
    /// File with one desktop id per line (# starts a comment line); - reads standard input
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) desktops_file: Option<PathBuf>,
    /// Desktops with this tag; repeat to require several tags: --tag pool=finance
    #[arg(long, short, value_name = "KEY=VALUE", help_heading = HEADING, aliases = ["desktop-tag", "desktop_tag"],
          conflicts_with_all = ["desktop", "desktops_file"], add = ArgValueCompleter::new(completion::tags))]
    pub(crate) tag: Vec<String>,
    /// Desktops of this pool
    #[arg(long, short, value_name = "ID", help_heading = HEADING, aliases = ["desktop-pool-id", "desktop_pool_id", "pool-id", "pool_id"],
          conflicts_with = "tag", add = ArgValueCompleter::new(completion::pools))]
    pub(crate) pool: Option<String>,
    /// Every desktop of the project that is not retired
    #[arg(long, help_heading = HEADING, conflicts_with_all = ["desktop", "desktops_file", "tag", "pool"])]
    pub(crate) all: bool,
}

impl DesktopFlags {
    /// Sets the desktops of a task. Fails if the flags select no desktop.
    pub(crate) async fn apply(self, task: &mut TaskSpec, session: &Session) -> Result<(), Error> {
        let mut ids = self.desktop;
        if let Some(path) = &self.desktops_file {
            ids.append(&mut read_ids(path)?);
        }
        if self.all {
            ids = all_desktops(session, ListDesktopsRequest::default()).await?;
        }
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        if ids.is_empty() && self.tag.is_empty() && self.pool.is_none() {
            return Err(match self.all || self.desktops_file.is_some() {
                true => Error::misused("the selection has no desktops").try_next("graywave desktops"),
                false => Error::misused("no desktops are selected")
                    .try_next("--desktop ID, --desktops-file FILE, --tag KEY=VALUE, --pool ID or --all"),
            });
        }
        task.desktop_ids = ids;
        task.desktop_tag = self.tag.join(",");
        task.desktop_pool_id = self.pool.unwrap_or_default();
        Ok(())
    }
}

/// Reads a file of desktop ids.
pub(crate) fn read_ids(path: &Path) -> Result<Vec<String>, Error> {
    let ids = ids_of(&file_arg::read_unmarked(path, "file of ids", MAX_EXECUTION_BODY_BYTES)?);
    if ids.len() > MAX_TARGETS_PER_TASK {
        return Err(Error::misused(format!(
            "{} lists {} desktops; the limit of a task is {MAX_TARGETS_PER_TASK}",
            path.display(),
            ids.len()
        )));
    }
    Ok(ids)
}

/// Reads one id per line, trimmed. An id may contain any character, including blanks and commas. A
/// line that starts with # is a comment.
fn ids_of(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// Lists the ids of the desktops that match a filter, up to one more than a task may have.
pub(crate) async fn all_desktops(
    session: &Session,
    filter: ListDesktopsRequest,
) -> Result<Vec<String>, Error> {
    let mut request = ListDesktopsRequest { page_size: PAGE, ..filter };
    let mut ids = Vec::new();
    loop {
        let page = session.desktops().list_desktops(request.clone()).await;
        let page = page.map_err(|status| Error::of("cannot list desktops", &status))?.into_inner();
        ids.extend(page.desktops.into_iter().map(|desktop| desktop.desktop_id));
        if page.next_page_token.is_empty() || ids.len() > MAX_TARGETS_PER_TASK {
            return Ok(ids);
        }
        request.page_token = page.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_an_id_in_each_line_and_remarks() {
        assert_eq!(ids_of("# finance\na\n  lab#1\n\nfin 01, c\r\n"), ["a", "lab#1", "fin 01, c"]);
    }
}
