//! Lists, printed page by page as the pages arrive.

use std::marker::PhantomData;

use clap::Args;

use super::{
    console::{Console, Format, pretty, yaml},
    json,
    table::{ListItem, lines},
};
use crate::{Error, number::number};

/// Maximum number of entries that a request asks for.
const PAGE: i32 = 500;

/// Limit of a list.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Paging {
    /// Maximum number of entries [default: all]
    #[arg(long, value_name = "N", value_parser = number(1, u32::MAX, 20))]
    pub(crate) limit: Option<u32>,
}

/// Printer of one list, with the state between its pages.
pub(crate) struct List<'a, T> {
    console: &'a mut Console,
    widths: Vec<u16>,
    printed: usize,
    /// Whether the list has no end: no pager, and JSON as one document after the other.
    is_endless: bool,
    items: PhantomData<T>,
}

impl<'a, T: ListItem> List<'a, T> {
    pub(crate) fn new(console: &'a mut Console) -> Self {
        Self { console, widths: Vec::new(), printed: 0, is_endless: false, items: PhantomData }
    }

    /// Makes the printer of a list without an end.
    pub(crate) fn endless(console: &'a mut Console) -> Self {
        Self { is_endless: true, ..Self::new(console) }
    }

    /// Prints a page.
    pub(crate) fn add(&mut self, items: &[T]) -> Result<(), Error> {
        if items.is_empty() {
            return Ok(());
        }
        if self.printed == 0 && !self.is_endless {
            self.console.paged();
        }
        let text = match self.console.format {
            Format::Table | Format::Wide => {
                let (wide, palette) = (self.console.format == Format::Wide, self.console.out);
                let rows = items.iter().map(ListItem::cells);
                lines(T::COLUMNS, rows, self.printed == 0, wide, palette, &mut self.widths)
            }
            Format::Name => items.iter().map(|item| format!("{}\n", item.id())).collect(),
            Format::Json if self.is_endless => {
                items.iter().map(|item| pretty(&json::of(item))).collect::<Result<_, _>>()?
            }
            Format::Json => {
                let mut text = String::new();
                for (place, item) in items.iter().enumerate() {
                    text.push_str(if self.printed + place == 0 { "[\n" } else { ",\n" });
                    text.push_str(pretty(&json::of(item))?.trim_end());
                }
                text
            }
            Format::Yaml => yaml(&items.iter().map(json::of).collect())?,
        };
        self.printed += items.len();
        self.console.print(&text)
    }

    /// Ends the list. An empty table prints `empty` to standard error.
    pub(crate) fn end(self, empty: &str) -> Result<(), Error> {
        match (self.console.format, self.printed) {
            (Format::Json, 0) => self.console.print("[]\n"),
            (Format::Json, _) => self.console.print("\n]\n"),
            (Format::Yaml, 0) => self.console.print("[]\n"),
            (Format::Table | Format::Wide, 0) => {
                self.console.say(empty);
                Ok(())
            }
            _ => Ok(()),
        }?;
        self.console.finish()
    }
}

/// Prints a list page by page. `call` takes a page size and a page token. An empty table prints
/// `none` to standard error.
pub(crate) async fn pages<T: ListItem>(
    console: &mut Console,
    paging: &Paging,
    none: &str,
    mut call: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Error>,
) -> Result<(), Error> {
    let mut left = paging.limit;
    let mut page_token = String::new();
    let mut list = List::new(console);
    loop {
        let page_size = left.and_then(|left| i32::try_from(left).ok()).map_or(PAGE, |left| left.min(PAGE));
        let (items, next) = call(page_size, page_token).await?;
        list.add(&items)?;
        left = left.map(|left| left.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        if next.is_empty() || left == Some(0) {
            return list.end(none);
        }
        page_token = next;
    }
}

#[cfg(test)]
mod tests {
    use proto::admin::Worker;

    use super::*;

    /// Prints a list of `there` workers, from a server that returns at most three per page. Returns
    /// the output and the requested page sizes.
    async fn listed(format: Format, limit: Option<u32>, there: usize) -> (String, Vec<i32>) {
        let mut console = Console::in_memory(format);
        let mut asked = Vec::new();
        let call = async |page_size: i32, page_token: String| {
            asked.push(page_size);
            let from: usize = if page_token.is_empty() { 0 } else { page_token.parse().unwrap() };
            let to = there.min(from + usize::try_from(page_size).unwrap().min(3));
            let worker = |n: usize| Worker { worker_id: format!("w{}", "x".repeat(n)), ..Worker::default() };
            let next = if to < there { to.to_string() } else { String::new() };
            Ok(((from..to).map(worker).collect::<Vec<_>>(), next))
        };
        pages(&mut console, &Paging { limit }, "none", call).await.unwrap();
        (console.captured(), asked)
    }

    #[tokio::test]
    async fn every_page_of_a_list_is_printed_once() {
        for there in [0, 1, 3, 4, 7] {
            let (names, _) = listed(Format::Name, None, there).await;
            let expected: String = (0..there).map(|n| format!("w{}\n", "x".repeat(n))).collect();
            assert_eq!(names, expected, "{there}");
            let (json, _) = listed(Format::Json, None, there).await;
            let json: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
            assert_eq!(json.len(), there);
            let (yaml, _) = listed(Format::Yaml, None, there).await;
            let yaml: Vec<serde_json::Value> = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(yaml, json);
            let (table, _) = listed(Format::Table, None, there).await;
            assert_eq!(table.lines().count(), if there == 0 { 0 } else { there + 1 }, "one header: {table}");
        }
    }

    #[tokio::test]
    async fn no_more_is_asked_for_than_is_wanted() {
        let (names, asked) = listed(Format::Name, Some(5), 100).await;
        assert_eq!((names.lines().count(), asked), (5, vec![5, 2]));
    }
}
