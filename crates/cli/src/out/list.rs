//! Lists, printed page by page as they come.

use std::marker::PhantomData;

use clap::Args;

use super::{Console, Format, Listed, json, pretty, table::lines, yaml};
use crate::Failure;

/// How many are asked for at once.
const PAGE: i32 = 500;

/// How long a list may be.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Paging {
    /// Print so many at most; all of them when it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// A list that is being printed.
pub(crate) struct List<'a, T> {
    console: &'a mut Console,
    widths: Vec<u16>,
    printed: usize,
    items: PhantomData<T>,
}

impl<'a, T: Listed> List<'a, T> {
    pub(crate) fn new(console: &'a mut Console) -> Self {
        Self { console, widths: Vec::new(), printed: 0, items: PhantomData }
    }

    /// More of it.
    pub(crate) fn add(&mut self, items: &[T]) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        if self.printed == 0 {
            self.console.paged();
        }
        let text = match self.console.format {
            Format::Table | Format::Wide => {
                let (wide, paint) = (self.console.format == Format::Wide, self.console.out);
                let rows = items.iter().map(Listed::cells);
                lines(T::COLUMNS, rows, self.printed == 0, wide, paint, &mut self.widths)
            }
            Format::Name => items.iter().map(|item| format!("{}\n", item.id())).collect(),
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

    /// The end of it. `what` is what there was none of.
    pub(crate) fn end(self, what: &str) -> Result<(), Failure> {
        match (self.console.format, self.printed) {
            (Format::Json, 0) => self.console.print("[]\n"),
            (Format::Json, _) => self.console.print("\n]\n"),
            (Format::Yaml, 0) => self.console.print("[]\n"),
            (Format::Table | Format::Wide, 0) => {
                self.console.say(what);
                Ok(())
            }
            _ => Ok(()),
        }?;
        self.console.finish()
    }
}

/// Prints a list whose pages `call` brings: of so many at most, behind a token. `none` is said when there is nothing.
pub(crate) async fn pages<T: Listed>(
    console: &mut Console,
    paging: &Paging,
    none: &str,
    mut call: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
) -> Result<(), Failure> {
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
