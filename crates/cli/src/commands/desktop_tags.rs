//! `graywave desktops tag`: operator tags of one or many desktops.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use clap_complete::ArgValueCompleter;
use futures::{StreamExt as _, stream};
use proto::admin::{Desktop, TagDesktopRequest};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{CommonArgs, desktop_filter::FilterArgs, desktop_view};
use crate::{
    Error,
    args::{all_desktops, pair, read_ids},
    client::{Session, repeated},
    completion,
    format::many,
    output::{Console, Format, List},
    sanitize::sanitize_line,
};

/// Number of desktops that are tagged at the same time.
const AT_ONCE: usize = 8;
/// Maximum number of waits of one desktop for the rate limit.
const WAITS: u32 = 20;
/// Wait for the rate limit if the answer names none.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// Maximum number of failures that are printed.
const SHOWN: usize = 5;
/// Number of desktops between two lines of progress.
const PROGRESS: usize = 1_000;

/// Arguments of `graywave desktops tag`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave desktops tag desktop-1 ring=early owner=ann
  graywave desktops tag desktop-1,desktop-2 --remove ring
  graywave desktops tag --desktops-file ids.txt ring=early
  graywave desktops tag --pool p1 --os Windows ring=late")]
pub(super) struct TagArgs {
    /// Desktop ids, and the tags to set: each word with = is a tag. Separate by blanks or commas
    #[arg(value_name = "DESKTOP|KEY=VALUE", value_delimiter = ',', add = ArgValueCompleter::new(completion::desktops))]
    words: Vec<String>,
    /// Operator tags to remove, by key; the agent's tag of that key applies again
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    remove: Vec<String>,
    /// Desktop id that contains =; repeat or separate by commas
    #[arg(long, short, value_name = "ID", value_delimiter = ',', add = ArgValueCompleter::new(completion::desktops))]
    desktop: Vec<String>,
    /// File with one desktop id per line (# starts a comment line); - reads standard input
    #[arg(long, value_name = "FILE")]
    desktops_file: Option<PathBuf>,
    /// Every desktop of the project that is not retired
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Change of the operator tags of a desktop.
#[derive(Debug, Clone, Default, PartialEq)]
struct Change {
    set: BTreeMap<String, String>,
    remove: Vec<String>,
}

/// Splits words into desktop ids and tags. Fails if a key occurs twice.
fn split(words: Vec<String>) -> Result<(Vec<String>, BTreeMap<String, String>), Error> {
    let (tags, ids): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| word.contains('='));
    let mut set = BTreeMap::new();
    for tag in &tags {
        let (key, value) = pair(tag).map_err(Error::misused)?;
        if set.insert(key.clone(), value).is_some() {
            return Err(Error::misused(format!("tag {key} is given twice")));
        }
    }
    Ok((ids, set))
}

pub(super) async fn tag(arguments: TagArgs) -> Result<(), Error> {
    let (mut ids, set) = split(arguments.words)?;
    let change = Change { set, remove: arguments.remove };
    if change == Change::default() {
        return Err(Error::misused("nothing to change").try_next("KEY=VALUE, or --remove KEY"));
    }
    ids.extend(arguments.desktop);
    if let Some(path) = &arguments.desktops_file {
        ids.append(&mut read_ids(path)?);
    }
    let is_filtered = arguments.all || !arguments.filter.is_empty();
    if is_filtered && !ids.is_empty() {
        return Err(Error::misused("name the desktops by id or by a filter, not by both"));
    }
    let is_from_file = arguments.desktops_file.is_some();
    if ids.is_empty() && !is_filtered && !is_from_file {
        return Err(Error::misused("no desktops are selected")
            .try_next("DESKTOP, --desktops-file FILE, --tag KEY=VALUE, --pool ID or --all"));
    }
    let (session, mut console) = arguments.common.open().await?;
    if is_filtered {
        ids = all_desktops(&session, arguments.filter.request()).await?;
    }
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [] => Err(Error::misused("the selection has no desktops").try_next("graywave desktops")),
        [id] => {
            let desktop = tagged(&session, id, &change).await.map_err(|status| refused(id, &status))?;
            desktop_view::print(&mut console, &desktop)
        }
        ids => tag_each(&session, &mut console, ids, &change).await,
    }
}

fn refused(desktop_id: &str, status: &Status) -> Error {
    Error::of(&format!("cannot tag desktop {}", sanitize_line(desktop_id)), status)
}

/// Tags one desktop. Waits while the caller exceeds its rate.
async fn tagged(session: &Session, desktop_id: &str, change: &Change) -> Result<Desktop, Status> {
    let request = TagDesktopRequest {
        desktop_id: desktop_id.to_owned(),
        set: change.set.clone(),
        remove: change.remove.clone(),
    };
    let mut waits = 0;
    loop {
        // The change is idempotent, so a retry is safe.
        let answer = repeated(async || session.desktops().tag_desktop(request.clone()).await).await;
        match answer {
            Err(status) if status.code() == Code::ResourceExhausted && waits < WAITS => {
                let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
                tokio::time::sleep(wait.unwrap_or(DEFAULT_WAIT)).await;
                waits += 1;
            }
            answer => return Ok(answer?.into_inner().desktop.unwrap_or_default()),
        }
    }
}

/// Tags several desktops, a few at a time. A refused desktop does not keep the others from being
/// tagged; the command fails at the end.
async fn tag_each(
    session: &Session,
    console: &mut Console,
    ids: &[String],
    change: &Change,
) -> Result<(), Error> {
    let mut list = (!matches!(console.format, Format::Table | Format::Wide)).then(Vec::new);
    let mut failures: Vec<(String, Status)> = Vec::new();
    let each = ids.iter().map(async |id| (tagged(session, id, change).await, id));
    let mut answers = stream::iter(each).buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((answer, id)) = answers.next().await {
        done += 1;
        match answer {
            Ok(desktop) => list.iter_mut().for_each(|list: &mut Vec<Desktop>| list.push(desktop.clone())),
            // The others would get no answer either.
            Err(status) if status.code() == Code::Unavailable => return Err(refused(id, &status)),
            Err(status) => failures.push((id.clone(), status)),
        }
        if done % PROGRESS == 0 {
            console.say(&format!("{done} of {} desktops", ids.len()));
        }
    }
    if let Some(mut desktops) = list {
        desktops.sort_unstable_by(|left, right| left.desktop_id.cmp(&right.desktop_id));
        let mut list = List::new(console);
        list.add(&desktops)?;
        list.end("")?;
    }
    let tagged = u32::try_from(ids.len() - failures.len()).unwrap_or(u32::MAX);
    console.say(&format!("tagged {}", many(tagged, "desktop")));
    report(failures)
}

/// Returns the error of the refused desktops: the first of them, and the others as hints.
fn report(failures: Vec<(String, Status)>) -> Result<(), Error> {
    let number = failures.len();
    let Some((id, status)) = failures.first() else { return Ok(()) };
    let failure = refused(id, status).without_hints();
    if number == 1 {
        return Err(failure);
    }
    let others = failures.iter().skip(1).take(SHOWN - 1).map(|(id, _)| sanitize_line(id));
    let more = if number > SHOWN { ", ..." } else { "" };
    let others = others.collect::<Vec<_>>().join(", ");
    Err(failure.try_next(format!("{number} desktops are not tagged: also {others}{more}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitStatus;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn word_with_an_equals_sign_is_a_tag() {
        let (ids, set) = split(words(&["d-1", "ring=early", "d-2", "url=a=b"])).unwrap();
        assert_eq!(ids, ["d-1", "d-2"]);
        assert_eq!((set["ring"].as_str(), set["url"].as_str()), ("early", "a=b"));
        for wrong in [&["=x"][..], &["a=1", "a=2"]] {
            assert_eq!(split(words(wrong)).unwrap_err().exit_status, ExitStatus::Misused);
        }
    }

    #[test]
    fn refused_desktops_are_named_after_the_first() {
        let missing = |id: &str| (id.to_owned(), Status::not_found("gone"));
        assert!(report(vec![]).is_ok());
        assert_eq!(report(vec![missing("a")]).unwrap_err().to_string(), "cannot tag desktop a: gone");
        let many = report(["a", "b", "c", "d", "e", "f"].map(missing).into()).unwrap_err();
        assert_eq!(many.exit_status, ExitStatus::Refused);
        assert_eq!(
            many.to_string(),
            "cannot tag desktop a: gone\n  try: 6 desktops are not tagged: also b, c, d, e, ..."
        );
    }
}
