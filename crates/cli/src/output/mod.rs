//! Output of commands: tables, lists, JSON, colours and the pager.

mod color;
mod console;
mod json;
mod list;
mod pager;
mod plain;
mod table;
mod terminal;
mod writer;

pub(crate) use color::{Palette, Tone, tone};
pub(crate) use console::{Console, Format, OutputArgs};
pub(crate) use json::parse;
pub(crate) use list::{List, Paging, pages};
pub use plain::{plain_table, print};
pub(crate) use table::{Cell, Column, ListItem, cell, table};
pub(crate) use terminal::is_dumb;
