//! Pagination of lists.

pub mod cursor;
pub mod page;
