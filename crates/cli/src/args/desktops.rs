//! Flags that select desktops, and files of desktop ids.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;
use clap_complete::ArgValueCompleter;
use domain::limits::{MAX_EXECUTION_BODY_BYTES, MAX_TARGETS_PER_TASK};
use proto::admin::{Desktop, GetDesktopRequest, ListDesktopsRequest, TaskSpec};

use super::file_arg;
use crate::{Error, client::Session, completion};

const HEADING: &str = "Desktops";
/// Page size of requests, in desktops.
const PAGE: i32 = 1_000;
/// Number of desktops that are read one by one.
const FEW: usize = 20;

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
        let ids = match self.all {
            true => all_desktops(session, ListDesktopsRequest::default()).await?,
            false => self.named()?,
        };
        self.check_selection(ids.is_empty())?;
        task.desktop_ids = ids;
        task.desktop_tag = self.tag.join(",");
        task.desktop_pool_id = self.pool.unwrap_or_default();
        Ok(())
    }

    /// Reads the selected desktops with their facts. Fails if the flags select no desktop.
    pub(crate) async fn read(self, session: &Session) -> Result<Vec<Desktop>, Error> {
        let ids = self.named()?;
        if !self.all {
            self.check_selection(ids.is_empty())?;
        }
        let mut filter = ListDesktopsRequest::default();
        for pairs in &self.tag {
            let tags = domain::desktop::parse_tags("desktop_tag", pairs);
            filter.tags.extend(tags.map_err(|error| Error::misused(format!("--tag {}", error.message)))?);
        }
        filter.desktop_pool_ids = self.pool.into_iter().collect();
        match ids.is_empty() {
            true => list_desktops(session, filter).await,
            false => desktops_of(session, ids, filter).await,
        }
    }

    /// Returns the ids of the flags and of the file, each once.
    fn named(&self) -> Result<Vec<String>, Error> {
        let mut ids = self.desktop.clone();
        if let Some(path) = &self.desktops_file {
            ids.append(&mut read_ids(path)?);
        }
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        Ok(ids)
    }

    fn check_selection(&self, has_no_ids: bool) -> Result<(), Error> {
        if !has_no_ids || !self.tag.is_empty() || self.pool.is_some() {
            return Ok(());
        }
        Err(match self.all || self.desktops_file.is_some() {
            true => Error::misused("the selection has no desktops").try_next("graywave desktops"),
            false => Error::misused("no desktops are selected")
                .try_next("--desktop ID, --desktops-file FILE, --tag KEY=VALUE, --pool ID or --all"),
        })
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
    let desktops = list_desktops(session, filter).await?;
    Ok(desktops.into_iter().map(|desktop| desktop.desktop_id).collect())
}

/// Lists the desktops that match a filter, up to a page more than a task may have.
async fn list_desktops(session: &Session, filter: ListDesktopsRequest) -> Result<Vec<Desktop>, Error> {
    let mut request = ListDesktopsRequest { page_size: PAGE, ..filter };
    let mut desktops = Vec::new();
    loop {
        let page = session.desktops().list_desktops(request.clone()).await;
        let page = page.map_err(|status| Error::of("cannot list desktops", &status))?.into_inner();
        desktops.extend(page.desktops);
        if page.next_page_token.is_empty() || desktops.len() > MAX_TARGETS_PER_TASK {
            return Ok(desktops);
        }
        request.page_token = page.next_page_token;
    }
}

/// Reads desktops of these ids. Few of them are read one by one, many as the list of all.
async fn desktops_of(
    session: &Session,
    ids: Vec<String>,
    filter: ListDesktopsRequest,
) -> Result<Vec<Desktop>, Error> {
    if ids.len() > FEW || !filter.desktop_pool_ids.is_empty() {
        let mut wanted: HashSet<String> = ids.into_iter().collect();
        let mut desktops = list_desktops(session, filter).await?;
        desktops.retain(|desktop| wanted.remove(&desktop.desktop_id));
        return match wanted.into_iter().min() {
            None => Ok(desktops),
            Some(missing) => Err(Error::misused(format!("the selection has no desktop {missing}"))
                .try_next("graywave desktops: lists the desktops")),
        };
    }
    let mut desktops = Vec::with_capacity(ids.len());
    for desktop_id in ids {
        let found = session.desktops().get_desktop(GetDesktopRequest { desktop_id }).await;
        let found = found.map_err(|status| Error::of("cannot read a selected desktop", &status))?;
        desktops.extend(found.into_inner().desktop);
    }
    Ok(desktops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_an_id_in_each_line_and_remarks() {
        assert_eq!(ids_of("# finance\na\n  lab#1\n\nfin 01, c\r\n"), ["a", "lab#1", "fin 01, c"]);
    }
}
